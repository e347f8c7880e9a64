/**
 * Secrets may stand in the environment of the containers that need them, and in the request that carries them: nowhere
 * else. Everything that a scene leaves behind is searched for the secrets it worked with.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect } from 'vitest';
import { systemCodeOf } from '../../../src/support/errors.ts';
import type { Scene } from './scene.ts';

/** Secrets by what they are. */
export type Secrets = Readonly<Record<string, string>>;

/** Texts by where they stand. */
export type Places = Readonly<Record<string, string>>;

/** The registration token, the host's key, and the keys of every agent that the scene's server knows. */
export async function secretsOf(scene: Scene): Promise<Secrets> {
  const keyFile = join(scene.host.stateDir, 'state/.registration_token');
  const hostKey = await readFile(keyFile, 'utf8').catch(() => undefined);
  return {
    'the registration token': scene.server.token,
    // A host has one as soon as the server is asked to register it.
    ...(hostKey === undefined ? {} : { "the host's key": hostKey.trim() }),
    ...Object.fromEntries(
      scene.server.agents.flatMap(({ accessKey, secretKey }, index) => [
        [`the access key of agent ${index + 1}`, accessKey],
        [`the secret key of agent ${index + 1}`, secretKey],
        [`both keys of agent ${index + 1}`, `${accessKey}:${secretKey}`],
      ]),
    ),
  };
}

/**
 * Everything that a host keeps or its engine was sent, but for the environment of containers: logs, files of the
 * entrypoint, what inspect shows, the engine's requests and its own log.
 */
export async function placesOf(scene: Scene): Promise<Places> {
  const { host } = scene;
  const places: Record<string, string> = {
    "the engine's requests": host.proxy.requests
      .map((request) => JSON.stringify(request, withoutEnvironment))
      .join('\n'),
    "the engine's log": await readFile(join(host.dir, 'engine.log'), 'utf8'),
  };
  for (const { id, name } of await host.containers()) {
    const log = await host.tryDocker('logs', id);
    places[`the log of ${name}`] = log.stdout + log.stderr;
    places[`what inspect shows of ${name}`] = JSON.stringify(await host.inspect(id), withoutEnvironment);
  }
  return { ...places, ...(await readFiles(join(host.stateDir, 'entrypoint'))) };
}

/**
 * An agent that runs writes each file under another name first and renames it: one that vanished before it was read has
 * its own name by now, so all are read again.
 */
async function readFiles(folder: string): Promise<Places> {
  for (let tries = 1; ; tries++) {
    try {
      return await readFilesOnce(folder);
    } catch (error) {
      if (tries === 20 || systemCodeOf(error) !== 'ENOENT') throw error;
    }
  }
}

async function readFilesOnce(folder: string): Promise<Places> {
  const places: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(noFolder)) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    places[`the file ${relative(folder, path)}`] = await readFile(path, 'utf8');
  }
  return places;
}

function noFolder(error: unknown): [] {
  if (systemCodeOf(error) === 'ENOENT') return [];
  throw error;
}

/** Fails for every secret that stands in one of the places, as it is, URL-encoded or in base64. */
export function expectNoSecrets(secrets: Secrets, places: Places): void {
  for (const [name, secret] of Object.entries(secrets)) {
    expect(secret.length, `${name} is something that can be found`).toBeGreaterThan(7);
  }
  expect(findSecrets(secrets, places)).toEqual([]);
}

/** `the registration token in the log of rancher-agent`, and so on. */
export function findSecrets(secrets: Secrets, places: Places): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) =>
    Object.entries(places)
      .filter(([, text]) => formsOf(secret).some((form) => text.includes(form)))
      .map(([place]) => `${name} in ${place}`),
  );
}

function formsOf(secret: string): readonly string[] {
  const base64 = Buffer.from(secret).toString('base64').replace(/=+$/, '');
  // The last character of base64 depends on the bytes that follow.
  return [secret, encodeURIComponent(secret), base64.slice(0, -1)];
}

function withoutEnvironment(key: string, value: unknown): unknown {
  return key === 'Env' ? undefined : value;
}
