/** A process that holds the device of a removed container: what the engine, the doctor and the runbook's command say about it. */
import { imageA } from './images.ts';
import { shorten, type StepEnd } from './page.ts';
import { COMMAND_MS, SHORT_MS, type Diagnosis, type ReplayHost, type Result } from './replay-host.ts';

/** Sets the variable `device` to the name of the container's device, in a shell. */
const findDevice = "device=$(docker inspect -f '{{.GraphDriver.Data.DeviceName}}' held)";

/** At the place where the engine mounted it, a mount would hold nothing: the engine removes that place (engine-notes §8). */
const holdDevice =
  `${findDevice}; mkdir -p /mnt/kept; ` +
  "unshare -m sh -c 'mount --bind /var/lib/docker/devicemapper/mnt/$0 /mnt/kept && exec sleep 3600' ${device##*-} " +
  '</dev/null >/dev/null 2>&1 & sleep 2; echo $!';

/** Without deferred removal: the removal fails, and both the doctor and the runbook's command name the holder. */
export async function expectBusy(host: ReplayHost): Promise<StepEnd> {
  const { id, pid, removal } = await removeHeld(host);
  const holder = textOf(await diagnose(host), 'mounts');
  const files = await host.inMachine(
    `${findDevice}; grep -l -e ${id} -e \${device##*-} /proc/[0-9]*/mountinfo`,
    SHORT_MS,
  );
  await host.inMachine(`kill ${pid}`, SHORT_MS);
  const { status } = await host.docker(COMMAND_MS, 'rm', '-f', 'held');
  // The holder's copy of the mounts also has the root of the agent.
  const isNamed = holder.startsWith(`held by sleep (pid ${pid}, on the host: `);
  const isFound = files.trim() === `/proc/${pid}/mountinfo`;
  const isAsDescribed = isNamed && isFound && /busy/i.test(removal.stderr) && status === 0;
  const found = files.trim().split('\n').join(' ');
  const end = `removed after the holder has exited: exit status ${status}`;
  return {
    isAsDescribed,
    outcome: `${shorten(removal.stderr)}; doctor: ${holder}; runbook: ${found}; ${end}`,
  };
}

/** With deferred removal and deletion: the removal succeeds, and the device is deleted after the holder has exited. */
export async function expectLaterDeletion(host: ReplayHost): Promise<StepEnd> {
  const { pid, removal } = await removeHeld(host);
  const pool = textOf(await diagnose(host), 'pool');
  const { seconds: exited } = await host.readPool();
  await host.inMachine(`kill ${pid}`, SHORT_MS);
  const deleted = await host.waitFor(async () => {
    const { stdout } = await host.docker(SHORT_MS, 'info');
    return /Deferred Deleted Device Count: 0/.test(stdout) ? (await host.readPool()).seconds : undefined;
  });
  const after =
    deleted === undefined ? 'never' : `${Math.round(deleted - exited)} s after the holder has exited`;
  return {
    isAsDescribed:
      removal.status === 0 && pool.includes('1 removed device is still held') && deleted !== undefined,
    outcome: `removal: exit status ${removal.status}; doctor: ${pool}; deleted ${after}`,
  };
}

interface Held {
  readonly id: string;
  readonly pid: string;
  readonly removal: Result;
}

/** A container whose root a process has mounted elsewhere, and what becomes of its removal. */
async function removeHeld(host: ReplayHost): Promise<Held> {
  const run = ['run', '-d', '--name', 'held', '--entrypoint', 'sleep', imageA, '3600'];
  const { status, stdout, stderr } = await host.docker(COMMAND_MS, ...run);
  if (status !== 0) throw new Error(`docker run: ${status}: ${stderr}`);
  const pid = (await host.inMachine(holdDevice, SHORT_MS)).trim();
  return { id: stdout.trim(), pid, removal: await host.docker(COMMAND_MS, 'rm', '-f', 'held') };
}

/** The search for holders has a limit of 10 s, which is too little for an emulated processor beside other work. */
async function diagnose(host: ReplayHost): Promise<Diagnosis> {
  return host.diagnose('-e', 'AGENT_LIMIT_HOLDERS_TOTAL=60000');
}

function textOf({ findings }: Diagnosis, wanted: string): string {
  return findings.find(({ check }) => check === wanted)?.text ?? 'silent';
}
