import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { Failure } from './failure.ts';

/** Bytes; a key has a few hundred. */
const largestKey = 16_384;

/**
 * Reads a private key: PEM, ECDSA on P-256, which is what cosign makes and every version of it reads.
 * @param passwordFile where the password of an encrypted key is
 * @throws Failure that says what is wrong with the file, and nothing of what is in it
 */
export async function readPrivateKey(file: string, passwordFile: string | undefined): Promise<KeyObject> {
  const pem = await readSmall(file, 'key');
  if (/ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY/.test(pem))
    throw new Failure(
      78,
      `${file} is in a format of cosign's own: make a key with openssl (docs/building.md), which cosign can import`,
    );
  if (!/PRIVATE KEY-----/.test(pem)) throw new Failure(78, `${file} is no private key in PEM`);
  const isEncrypted = /ENCRYPTED/.test(pem);
  if (isEncrypted && passwordFile === undefined)
    throw new Failure(78, `${file} is encrypted: name the file of its password (--password-file)`);
  // One newline at its end is the editor's.
  const passphrase =
    passwordFile === undefined
      ? undefined
      : (await readSmall(passwordFile, 'password')).replace(/\r?\n$/, '');
  return requireP256(
    file,
    readKey(file, () => createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) })),
  );
}

/** @throws Failure */
export async function readPublicKey(file: string): Promise<KeyObject> {
  const pem = await readSmall(file, 'key');
  // Node would take the public half of a private key; whoever verifies has no business with that file.
  if (!/-----BEGIN PUBLIC KEY-----/.test(pem)) throw new Failure(78, `${file} is no public key in PEM`);
  return requireP256(
    file,
    readKey(file, () => createPublicKey(pem)),
  );
}

/** ECDSA with SHA-256, as DER in base64. */
export function signBytes(bytes: Buffer, key: KeyObject): string {
  return sign('sha256', bytes, key).toString('base64');
}

export function isSignedBy(bytes: Buffer, signature: string, key: KeyObject): boolean {
  return verify('sha256', bytes, key, Buffer.from(signature, 'base64'));
}

async function readSmall(file: string, what: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > largestKey) throw new Failure(78, `${file} is too long for a ${what}`);
    const text = await readFile(file, 'utf8');
    if (text.length > largestKey) throw new Failure(78, `${file} is too long for a ${what}`);
    return text;
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Failure(78, `the ${what} cannot be read from its file (${code})`);
  }
}

function readKey(file: string, read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch {
    throw new Failure(78, `${file} cannot be used: it is damaged, or the password is wrong`);
  }
}

function requireP256(file: string, key: KeyObject): KeyObject {
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw new Failure(78, `${file} is no ECDSA key on the curve P-256`);
}
