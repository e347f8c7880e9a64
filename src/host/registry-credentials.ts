import { join } from 'node:path';
import * as v from 'valibot';
import { registryOf, type RegistryAuth } from '../engine/registry-auth.ts';
import type { Environment } from '../support/configuration.ts';
import { messageOf } from '../support/errors.ts';
import { parseJsonText } from './files/json.ts';
import { readSmallFile } from './files/read.ts';

/** What `docker login` writes; a part of it. */
const configSchema = v.object({
  auths: v.optional(
    v.record(
      v.string(),
      v.object({
        /** `user:password` in base64. */
        auth: v.optional(v.string()),
        identitytoken: v.optional(v.string()),
        registrytoken: v.optional(v.string()),
      }),
    ),
    {},
  ),
  credsStore: v.optional(v.string()),
  credHelpers: v.optional(v.record(v.string(), v.string()), {}),
});

export interface RegistryCredentials {
  readonly auth?: RegistryAuth;
  /** Why there is no login where a person may expect one; never contains text of the file. */
  readonly problem?: string;
}

/** The folder of the `config.json` that `docker login` writes, where Docker's client looks for it. */
export function dockerConfigFolder(environment: Environment): string {
  return environment['DOCKER_CONFIG'] || `${environment['HOME'] || '/root'}/.docker`;
}

/**
 * Looks up the credentials for an image's registry in `config.json`, as Docker's client does for a pull. Credential
 * helpers are programs of their own and are not asked.
 *
 * @param folder of `config.json` (`DOCKER_CONFIG`, else `~/.docker`), as this container sees it
 */
export async function readRegistryCredentials(
  folder: string,
  reference: string,
): Promise<RegistryCredentials> {
  const file = join(folder, 'config.json');
  const registry = registryOf(reference);
  try {
    const text = await readSmallFile(file);
    if (text === undefined) return {};
    // Without the place where it departs from the schema: it has names of the file in it.
    const parsed = v.safeParse(configSchema, parseJsonText(text));
    if (!parsed.success) throw new Error('it is not what docker login writes');
    const { auths, credsStore, credHelpers } = parsed.output;
    const entry = Object.entries(auths).find(([address]) => hostOf(address) === registry)?.[1];
    const auth = entry === undefined ? undefined : readEntry(entry, registry);
    if (auth !== undefined) return { auth };
    const hasHelper = credsStore !== undefined || registry in credHelpers;
    return hasHelper
      ? { problem: `${file} leaves ${registry} to a credential helper, which is not asked: use "auths"` }
      : {};
  } catch (error) {
    return { problem: `${file} cannot be understood: ${messageOf(error)}` };
  }
}

/** `https://index.docker.io/v1/` and `registry.example:5000` alike. */
function hostOf(address: string): string {
  return address.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

function readEntry(
  entry: {
    readonly auth?: string | undefined;
    readonly identitytoken?: string | undefined;
    readonly registrytoken?: string | undefined;
  },
  serveraddress: string,
): RegistryAuth | undefined {
  const { identitytoken, registrytoken } = entry;
  if (identitytoken) return { identitytoken, serveraddress };
  if (registrytoken) return { registrytoken, serveraddress };
  const [username = '', ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString('utf8')
    .split(':');
  const password = rest.join(':').replace(/\0+$/, '');
  return username === '' || password === '' ? undefined : { username, password, serveraddress };
}
