/**
 * One private engine for people. It lives as long as a holder process of its own, which `start` leaves behind.
 *
 * exit status: 0 done or running, 3 not running, 64 usage, 70 it did not start
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { claimName } from '../../test/support/host/host-slot.ts';
import { enterHost } from '../../test/support/host/host-namespaces.ts';
import { startHost, type StartOptions } from '../../test/support/host/host.ts';

const USAGE = 'usage: scripts/engine start [--images all|base|none] | stop | status';
const CACHE = join(import.meta.dirname, '..', '..', '.cache');
const STATUS_FILE = join(CACHE, 'engine.json');
const LOG_FILE = join(CACHE, 'engine.log');
/** Held by the holder, so that a stale status file is never believed. Each checkout has an engine of its own. */
const HOLDER_NAME = `engine-for-people-${createHash('sha256').update(CACHE).digest('hex').slice(0, 12)}`;
/** The first start builds the images. */
const START_DEADLINE_MS = 15 * 60_000;
const STOP_DEADLINE_MS = 60_000;
const IMAGES: Record<string, NonNullable<StartOptions['images']>> = { all: true, base: 'base', none: false };

interface EngineStatus {
  holderPid: number;
  name: string;
  socketPath: string;
  engineSocketPath: string;
  address: string;
  gateway: string;
  stateDir: string;
  initPid: number;
}

process.exitCode = await main();

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    strict: false,
    options: { images: { type: 'string', default: 'all' } },
  });
  const images = String(values.images);
  if (positionals.length !== 1 || !(images in IMAGES)) return refuseUsage();
  const commands: Record<string, (images: string) => Promise<number>> = {
    start,
    stop,
    status: showStatus,
    hold,
  };
  const command = commands[positionals[0] ?? ''];
  return command ? command(images) : refuseUsage();
}

function refuseUsage(): number {
  console.error(USAGE);
  return 64;
}

async function start(images: string): Promise<number> {
  if (await isHeld()) return showStatus();
  await mkdir(CACHE, { recursive: true });
  await rm(STATUS_FILE, { force: true });
  const log = openSync(LOG_FILE, 'w');
  const command = [import.meta.filename, 'hold', '--images', images];
  const holder = spawn(process.execPath, command, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  holder.unref();
  const deadline = Date.now() + START_DEADLINE_MS;
  while (!(await readStatus())) {
    if (holder.exitCode !== null || Date.now() > deadline) {
      console.error(`the engine did not start:\n${await readFile(LOG_FILE, 'utf8')}`);
      return 70;
    }
    await sleep(100);
  }
  return showStatus();
}

async function stop(): Promise<number> {
  const status = (await isHeld()) ? await readStatus() : undefined;
  if (status) process.kill(status.holderPid, 'SIGTERM');
  const deadline = Date.now() + STOP_DEADLINE_MS;
  while (await isHeld()) {
    if (Date.now() > deadline) {
      console.error(`the engine is still there after ${STOP_DEADLINE_MS} ms`);
      return 70;
    }
    await sleep(100);
  }
  console.log('the private engine is not running');
  return 0;
}

async function showStatus(): Promise<number> {
  const status = (await isHeld()) ? await readStatus() : undefined;
  if (!status) {
    console.log('the private engine is not running');
    return 3;
  }
  console.log(`the private engine is running (process ${status.holderPid})
  export DOCKER_HOST=unix://${status.engineSocketPath}
  socket for containers   /var/run/docker.sock inside the host (${status.socketPath})
  /var/lib/rancher        ${status.stateDir}
  a shell in the host     nsenter ${enterHost(status.initPid).join(' ')} bash     (it has no systemd)
  host address            ${status.address}
  this machine, seen from its containers   ${status.gateway}`);
  return 0;
}

/** The holder process: runs until SIGTERM. */
async function hold(images: string): Promise<number> {
  const release = await claimHolderName();
  if (!release) return 70;
  const host = await startHost({ name: 'private', images: IMAGES[images] ?? true });
  const { name, socketPath, engineSocketPath, address, gateway, stateDir, initPid } = host;
  const ended = new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const status: EngineStatus = {
    holderPid: process.pid,
    name,
    socketPath,
    engineSocketPath,
    address,
    gateway,
    stateDir,
    initPid,
  };
  await writeFile(STATUS_FILE, JSON.stringify(status));
  await ended;
  await rm(STATUS_FILE, { force: true });
  await host.stop();
  await release();
  return 0;
}

/** Tries for a second: a process that asks for the status holds the name for a moment. */
async function claimHolderName(): Promise<(() => Promise<void>) | undefined> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const release = await claimName(HOLDER_NAME);
    if (release) return release;
    await sleep(50);
  }
  return undefined;
}

async function isHeld(): Promise<boolean> {
  const release = await claimName(HOLDER_NAME);
  await release?.();
  return release === undefined;
}

async function readStatus(): Promise<EngineStatus | undefined> {
  const text = await readFile(STATUS_FILE, 'utf8').catch(() => '');
  return text === '' ? undefined : (JSON.parse(text) as EngineStatus);
}
