import { readSummary } from './answers.ts';
import type { ContainerFilter, ContainerSummary } from './engine.ts';
import { elementsOf } from './json-elements.ts';

/** Keeps the entries that match. Thousands of entries have the same image names and labels: each is kept in memory once. */
export async function collect(
  body: AsyncIterable<Buffer>,
  filter: ContainerFilter,
): Promise<ContainerSummary[]> {
  const found: ContainerSummary[] = [];
  const share = createSharing();
  for await (const entry of elementsOf(body)) {
    const summary = readSummary(entry);
    if (summary !== undefined && matches(summary, filter)) found.push(share(summary));
  }
  return found;
}

/** @returns a function that puts one and the same value in the place of equal ones */
function createSharing(): (summary: ContainerSummary) => ContainerSummary {
  const known = new Map<string, Pick<ContainerSummary, 'image' | 'imageId' | 'command' | 'labels'>>();
  return (summary) => {
    const { image, imageId, command, labels } = summary;
    const key = JSON.stringify([image, imageId, command, labels]);
    const same = known.get(key) ?? { image, imageId, command, labels };
    known.set(key, same);
    return { ...summary, ...same };
  };
}

/** Old engines ignore filters they do not know and return every container: check again. */
function matches(summary: ContainerSummary, filter: ContainerFilter): boolean {
  if (filter.names !== undefined && !filter.names.includes(summary.name)) return false;
  if (filter.ids !== undefined && !filter.ids.includes(summary.id)) return false;
  if (filter.states !== undefined && !filter.states.includes(summary.state)) return false;
  if (filter.label === undefined) return true;
  const equals = filter.label.indexOf('=');
  if (equals < 0) return filter.label in summary.labels;
  return summary.labels[filter.label.slice(0, equals)] === filter.label.slice(equals + 1);
}
