/**
 * Signs an image in a registry, or verifies its signatures. Part of scripts/sign, which says how it is used.
 *
 * usage: node scripts/signing/main.ts --folder FOLDER [the arguments of scripts/sign]
 *   --folder  where relative paths begin
 */
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure } from './failure.ts';
import { readImageName } from './image.ts';
import { readPrivateKey, readPublicKey } from './keys.ts';
import { defaultBuilder } from './provenance.ts';
import { Registry } from './registry.ts';
import { signImage } from './sign.ts';
import { verifyImage } from './verify.ts';

const options = {
  folder: { type: 'string', default: '.' },
  key: { type: 'string' },
  'password-file': { type: 'string' },
  sbom: { type: 'string' },
  builder: { type: 'string', default: defaultBuilder },
  verify: { type: 'boolean', default: false },
} as const;

try {
  await main();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`sign: ${error.message}`);
  process.exitCode = error.status;
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [text, ...others] = positionals;
  if (text === undefined || others.length > 0)
    throw new Failure(64, 'one IMAGE@sha256:DIGEST is needed (see --help)');
  const image = readImageName(text);
  const at = (file: string): string => resolve(values.folder, file);
  // A key that is typed as an argument would be in the list of processes.
  if (values.key === undefined) throw new Failure(64, '--key FILE is missing (see --help)');
  if (values.key.includes('-----BEGIN'))
    throw new Failure(64, '--key names a file: a key itself must not be an argument');
  if (values.verify) {
    const key = await readPublicKey(at(values.key));
    for (const line of await verifyImage(await Registry.open(image.repository, false), image, key))
      console.log(line);
    return;
  }
  if (values.sbom === undefined) throw new Failure(64, '--sbom FILE is missing (see --help)');
  if (!URL.canParse(values.builder)) throw new Failure(64, `--builder ${values.builder} is no URI`);
  const passwordFile = values['password-file'];
  const key = await readPrivateKey(at(values.key), passwordFile === undefined ? undefined : at(passwordFile));
  const tags = await signImage(await Registry.open(image.repository, true), {
    image,
    key,
    publicKey: createPublicKey(key),
    bill: await readBill(at(values.sbom)),
    builder: values.builder,
  });
  for (const tag of tags) console.log(`${image.repository}:${tag}`);
}

function readArguments(): ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>> {
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    // It says which option, never its value.
    throw new Failure(
      64,
      `${error instanceof Error ? error.message : 'the arguments are not understood'} (see --help)`,
    );
  }
}

async function readBill(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Failure(78, `the bill of materials ${file} cannot be read (${code})`);
  }
}
