import { access } from 'node:fs/promises';
import { afterEach, expect, onTestFinished } from 'vitest';
import type { Connection } from '../../../../src/control-plane/http/connection.ts';
import {
  loadRegistrationEnvironment,
  type RegistrationEnvironmentRequest,
} from '../../../../src/control-plane/registration/environment.ts';
import { parseServerUrl } from '../../../../src/control-plane/url.ts';
import { startStubServer, type StubOptions } from '../../../support/server/stub/stub-server.ts';

/** The stub listens on 127.0.0.1, which only images of this profile accept. */
export const profile = 'rancher-1.0';

/** As the worker does it: the URL is parsed before anything is asked. */
export async function loadFrom(
  connection: Connection,
  { url, ...request }: Omit<RegistrationEnvironmentRequest, 'server'> & { readonly url: string },
) {
  return loadRegistrationEnvironment(connection, {
    server: parseServerUrl(url, request.profile),
    ...request,
  });
}

export async function start(options: StubOptions = {}) {
  const stub = await startStubServer(options);
  onTestFinished(() => stub.close());
  return stub;
}

export function expectNothingExecuted(): void {
  afterEach(async () => {
    await expect(access('/tmp/stub-injected')).rejects.toThrow('ENOENT');
  });
}
