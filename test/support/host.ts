import { ensureTemplate } from './images.ts';
import { startBareHost, type HostOptions, type TestHost } from './test-host.ts';

export type { CommandResult, ContainerSummary, HostOptions, TestHost } from './test-host.ts';

/**
 * Starts a *host* for a test: a private, real Docker engine in namespaces of its own, with the images of images.ts.
 * Call `stop()` on it in the end, `reset()` between tests.
 */
export async function startHost({ images = true, ...options }: HostOptions & { images?: boolean } = {}): Promise<TestHost> {
  return startBareHost(options, images ? await ensureTemplate() : undefined);
}
