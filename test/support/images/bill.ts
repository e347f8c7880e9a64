/** Reads bills of materials. */
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';

export interface BillComponent {
  readonly type: string;
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly cpe?: string;
  readonly licenses?: readonly unknown[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
  readonly components?: readonly BillComponent[];
}

export interface Bill {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly metadata: { readonly timestamp: string; readonly component: BillComponent };
  readonly components: readonly BillComponent[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

/** The errors that the schema of CycloneDX finds; null if it finds none. */
export async function findSchemaErrors(text: string): Promise<unknown> {
  return new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text);
}

/** Each component, and all components within it. */
export function flatten(components: readonly BillComponent[]): readonly BillComponent[] {
  return components.flatMap((it) => [it, ...flatten(it.components ?? [])]);
}

export function propertyOf(component: BillComponent | undefined, name: string): string | undefined {
  return component?.properties?.find((it) => it.name === `rancher-agent-entrypoint:${name}`)?.value;
}
