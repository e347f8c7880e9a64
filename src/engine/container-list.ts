import { fixedLimits } from '../support/limits/fixed.ts';
import { readSummary } from './answers.ts';
import type { ContainerFilter, ContainerSummary } from './engine.ts';
import { elementsOf, type Element } from './json-elements.ts';
import { listedLabels, skimLimits, summaryShape } from './json/shapes.ts';

export interface CollectOptions {
  readonly filter: ContainerFilter;
  /** Called for each container whose entry was too large to be read as a whole, with its size in bytes. */
  readonly onTooLarge: (container: ContainerSummary, size: number) => void;
}

/**
 * Keeps the containers that match, and of each only what the program reads. Thousands of entries have the same image names and
 * labels: each is kept in memory once.
 * @throws Error if there are more than LISTED_MOST
 */
export async function collect(
  body: AsyncIterable<Buffer>,
  { filter, onTooLarge }: CollectOptions,
): Promise<ContainerSummary[]> {
  const found: ContainerSummary[] = [];
  const share = createSharing();
  const limits = { ...skimLimits, element: fixedLimits.LISTED_ENTRY, shape: summaryShape };
  for await (const element of elementsOf(body, limits)) {
    const whole = readSummary(element.value);
    if (whole === undefined || !matches(whole, filter)) continue;
    const summary = reduce(whole, element, filter);
    if (element.isSkimmed) onTooLarge(summary, element.size);
    found.push(share(summary));
    if (found.length > fixedLimits.LISTED_MOST)
      throw new Error(`the list has more than ${fixedLimits.LISTED_MOST} containers`);
  }
  return found;
}

/**
 * What is kept of an entry. The size of every part is limited, because tenants choose it. A list by id keeps all labels: a few
 * containers are inspected that way where an inspection is not possible.
 */
function reduce(whole: ContainerSummary, { isSkimmed }: Element, filter: ContainerFilter): ContainerSummary {
  const { name, image, command, networkMode } = whole;
  const keepsAll = filter.ids !== undefined && !isSkimmed;
  const labels = keepsAll ? whole.labels : selectLabels(whole.labels);
  const isPart = isSkimmed || Object.keys(labels).length < Object.keys(whole.labels).length;
  return {
    ...whole,
    name: cut(name),
    image: cut(image),
    command: cut(command),
    ...(networkMode === undefined ? {} : { networkMode: cut(networkMode) }),
    labels,
    ...(isPart ? { hasOtherLabels: true } : {}),
  };
}

function selectLabels(all: ContainerSummary['labels']): ContainerSummary['labels'] {
  const present = listedLabels.filter((name) => Object.hasOwn(all, name));
  return Object.fromEntries(present.map((name) => [name, cut(all[name] ?? '')]));
}

/** No name, image or command that the program looks for is so long; an ellipsis is in none of them. */
function cut(text: string): string {
  const most = fixedLimits.SKIMMED_TEXT;
  if (text.length <= most) return text;
  // A part of a string keeps the whole of it in memory, and a copy does not.
  return Buffer.from(`${text.slice(0, most)}…`).toString();
}

/** @returns a function that puts one and the same value in the place of equal ones */
function createSharing(): (summary: ContainerSummary) => ContainerSummary {
  const known = new Map<string, Partial<ContainerSummary>>();
  return (summary) => {
    const { image, imageId, command, labels, networkMode } = summary;
    const shared = { image, imageId, command, labels, ...(networkMode === undefined ? {} : { networkMode }) };
    const key = JSON.stringify(shared);
    const same = known.get(key) ?? shared;
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
