import { ensureBaseTemplate, ensureTemplate, hasProduct } from '../images/images.ts';

/** Builds the images before any test file starts, so that no test's own time limit has to cover it. */
export async function setup(): Promise<void> {
  // Without a product there are no images of it, but the tests of the hosts themselves still run.
  if (await hasProduct()) await ensureTemplate();
  else await ensureBaseTemplate();
}
