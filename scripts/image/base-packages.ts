/** The packages of a base image, for the bill of materials: as its dpkg lists them. */
import { Enums, Models } from '@cyclonedx/cyclonedx-library';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { property, purlOfDebian } from './components.ts';

/**
 * One component for the base image, with a component for each of its packages.
 *
 * @param name of the image @param id of the image, by which a bill belongs to it
 * @param folder has `status` (the base's /var/lib/dpkg/status) and `os-release`
 */
export function describeBase(name: string, id: string, folder: string): Models.Component {
  const release = readFileSync(join(folder, 'os-release'), 'utf8');
  const field = (key: string): string => new RegExp(`^${key}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? '';
  const system = field('ID');
  const distro = `${system}-${field('VERSION_ID')}`;
  const packages = installedPackages(readFileSync(join(folder, 'status'), 'utf8'));
  const components = packages.map((it) => {
    const purl = purlOfDebian(it, system, distro);
    return new Models.Component(Enums.ComponentType.Library, it.package, {
      bomRef: `base:${purl}`,
      version: it.version,
      purl,
    });
  });
  return new Models.Component(Enums.ComponentType.Container, name, {
    bomRef: `base:${id}`,
    version: id,
    description: 'the base image, which is not built here',
    components: new Models.ComponentRepository(components),
    properties: new Models.PropertyRepository([property('system', field('PRETTY_NAME'))]),
  });
}

type Installed = Parameters<typeof purlOfDebian>[0];

function installedPackages(status: string): readonly Installed[] {
  return status.split(/\n\n+/).flatMap((stanza) => {
    const field = (key: string): string => new RegExp(`^${key}: *(.*)$`, 'm').exec(stanza)?.[1] ?? '';
    if (field('Status') !== 'install ok installed') return [];
    const version = field('Version');
    // "name", or "name (version)" where the source has another version.
    const [, source = '', sourceVersion] = /^(\S+)(?: \((.*)\))?$/.exec(field('Source')) ?? [];
    return {
      architecture: field('Architecture'),
      package: field('Package'),
      version,
      source: source === '' ? field('Package') : source,
      sourceVersion: sourceVersion ?? version,
    };
  });
}
