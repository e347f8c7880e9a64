import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderDoctor } from '../../../src/cli/render-doctor.ts';
import { agent, diagnosisOf, known, listed, now } from '../fakes/healthy-host.ts';
import { leakedSummary } from '../fakes/leaked.ts';

const leaking = diagnosisOf({
  agents: known([agent({ ownEntrypoint: false, image: 'rancher/agent:v1.0.2' })]),
  containers: known([
    ...Array.from({ length: 424 }, (_, index) =>
      leakedSummary({
        id: String(index).padStart(64, '0'),
        name: 'sad_bohr',
        createdAt: now - index * 13_000 - 10_000,
      }),
    ),
    listed(),
  ]),
  mounts: {
    known: false,
    why: "the mounts of other processes can't be seen from here",
    hint: 'Start it with --privileged --pid=host.',
    blind: true,
  },
});

describe('the doctor on the screen', () => {
  it('is a table with a line for each check, what to do below each fault, and the verdict', () => {
    expect(renderDoctor(leaking, { columns: 80, colour: false })).toMatchInlineSnapshot(`
      " ✓ engine    Docker 20.10.24, API 1.41, AutoRemove; answers in 3 ms
       ✓ storage   overlay2; free: 12 GB of 100 GB, 6 M of 7 M inodes
       ✓ agents    rancher-agent runs for 3 h: rancher/agent:v1.0.2 (legacy
                   entrypoint)
       ✗ leaks     424 leaked helpers, 277 in the last hour, the last one 10 s ago:
                   STILL LEAKING
                   424 inspect-host: 424 exited, and the client that should have
                   removed them was killed
                   created by: the loop of a legacy agent, rancher-agent
                   (aaaaaaaaaaaa), rancher/agent:v1.0.2, whose upgrades
                   https://rancher.example/v1 requires
                   → Set bootstrap.required.image on the server to an image with this
                     entrypoint, then run \`upgrade\`, then \`cleanup\`. If the engine is
                     too slow for that: docker stop rancher-agent first; your
                     containers keep running.
       ✓ restarts  no container restarts again and again
       ? mounts    the mounts of other processes can't be seen from here
                   → Start it with --privileged --pid=host.
       ✓ lock      free
       ✓ key       the host key is there
       ✓ server    https://rancher.example/v1 answers in 12 ms and knows the agent's
                   keys
       ✓ transport https
       ✓ clock     the same as the server's
       ✓ serving   the agent serves, for 3 h: https://rancher.example
                   last live answer 3 min ago; bootstrap runs for 3 h
       ✓ state     ok for 3 h: rancher-agent runs

       Unhealthy: leaking-now. Could not be checked: mounts. Took 400 ms, changed
       nothing.
      "
    `);
  });

  it.each([60, 80, 100])('fits %i columns', (columns) => {
    for (const line of renderDoctor(leaking, { columns, colour: false }).split('\n')) {
      expect(line.length, line).toBeLessThanOrEqual(columns);
    }
  });

  it('has the same text in colours', () => {
    const coloured = renderDoctor(leaking, { columns: 80, colour: true });
    expect(coloured).toContain('\u001B[31m✗\u001B[39m');
    expect(stripVTControlCharacters(coloured)).toBe(renderDoctor(leaking, { columns: 80, colour: false }));
  });

  it('shows advice for several hidden things once', () => {
    const why = {
      known: false,
      why: 'not mounted here',
      hint: 'Start it with -v X:X.',
      blind: true,
    } as const;
    const text = renderDoctor(diagnosisOf({ lock: why, key: why, status: why }), {
      columns: 80,
      colour: false,
    });
    expect(text.split('Start it with -v X:X.')).toHaveLength(2);
    expect(text).toContain('Could not be checked: lock, key, state.');
  });
});
