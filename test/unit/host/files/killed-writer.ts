import { writeFileAtomically } from '../../../../src/host/files/files.ts';

/** Writes a file again and again, until it is killed; it is seldom not in the middle of a write. */
const [, , path = ''] = process.argv;
for (;;) await writeFileAtomically(path, 'x'.repeat(4_000_000), { mode: 0o644 });
