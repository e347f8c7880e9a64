import { selectProfile } from '../../../src/agent/identity/profile.ts';
import { namesOf } from '../../../src/agent/identity/roles.ts';

/** The names of the roles in the usual profile. */
export const names = namesOf(selectProfile('rancher-1.2', {}));
