import { defineMatrix } from '../support/matrix-tests.ts';

defineMatrix('matrix-frozen', ['daemon frozen 30 s']);
