/** The images of readiness-images/Dockerfile, as the template of `ensureReadinessTemplate` has them. */

/** Stages of the Dockerfile, in its order. */
export const readinessStages = [
  'old',
  'sound',
  'trusting',
  'bashless',
  'curl-refuses',
  'no-bundle',
  'proxied',
  'nameless',
  'other-keys',
  'tar-fails',
  'patient',
  'legacy',
] as const;
export type ReadinessStage = (typeof readinessStages)[number];

/** The name of a stage's image. */
export function readinessImage(stage: ReadinessStage): string {
  return `rancher/agent:ready-${stage}`;
}

/**
 * What the server requires in the tests: one name, given to a broken image first and then to the mended one. An image that is
 * mended keeps its name in the field, too.
 */
export const requiredName = 'rancher/agent:ready';

/** Time for building them, in ms; builds of other test runs on this machine come first. */
export const buildMs = 900_000;
