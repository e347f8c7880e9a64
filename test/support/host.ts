import { ensureBaseTemplate, ensureTemplate } from './images.ts';
import { startBareHost, type HostOptions, type TestHost } from './test-host.ts';

export type { CommandResult, ContainerSummary, HostOptions, TestHost } from './test-host.ts';

export interface StartOptions extends HostOptions {
  /** true: all images of images.ts (default); 'base': only `agent-test-base`; false: none. */
  images?: boolean | 'base';
}

/**
 * Starts a *host* for a test: a private, real Docker engine in namespaces of its own, with the images of images.ts.
 * Call `stop()` on it in the end, `reset()` between tests.
 */
export async function startHost({ images = true, ...options }: StartOptions = {}): Promise<TestHost> {
  return startBareHost(options, await chooseTemplate(images));
}

async function chooseTemplate(images: boolean | 'base'): Promise<string | undefined> {
  if (images === 'base') return ensureBaseTemplate();
  return images ? ensureTemplate() : undefined;
}
