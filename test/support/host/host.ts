import {
  ensureBasesTemplate,
  ensureBaseTemplate,
  ensureEarlierTemplate,
  ensureReadinessTemplate,
  ensureTemplate,
} from '../images/images.ts';
import { startBareHost, type HostOptions, type TestHost } from './test-host.ts';

export type { CommandResult, ContainerSummary, HostOptions, TestHost } from './test-host.ts';

export interface StartOptions extends HostOptions {
  /**
   * true: all images of images.ts (default); 'base': only `agent-test-base`; 'other-bases': all, and those on the other
   * bases; 'readiness': all, and those of the readiness tests; 'earlier': all, and
   * version 0.1; false: none.
   */
  images?: boolean | 'base' | 'other-bases' | 'readiness' | 'earlier';
}

/**
 * Starts a *host* for a test: a private, real Docker engine in namespaces of its own, with the images of images.ts.
 * Call `stop()` at the end, `reset()` between tests.
 */
export async function startHost({ images = true, ...options }: StartOptions = {}): Promise<TestHost> {
  return startBareHost(options, await chooseTemplate(images));
}

async function chooseTemplate(images: NonNullable<StartOptions['images']>): Promise<string | undefined> {
  if (images === 'base') return ensureBaseTemplate();
  if (images === 'other-bases') return ensureBasesTemplate();
  if (images === 'earlier') return ensureEarlierTemplate();
  if (images === 'readiness') return ensureReadinessTemplate();
  return images ? ensureTemplate() : undefined;
}
