// Which site is in which batch of a wave, and when a wave stops: pure functions over what people asked for.
import type { WaveRow, WaveSiteRow } from './store.ts';

export interface BatchWish {
  /** Names of sites that go first. */
  canaries: readonly string[];
  /** Labels as `key=value`: only sites that have one of them. */
  labels: readonly string[];
  /** Shares of the sites that are upgraded after each batch, rising, 1 to 100. */
  percents: readonly number[] | undefined;
}

export interface PlannedSite {
  id: string;
  name: string;
  labels: Readonly<Record<string, string>>;
}

export interface Batches {
  /** What each batch is, in order. */
  titles: string[];
  sites: { site: string; name: string; batch: number }[];
}

const DEFAULT_PERCENTS = [5, 25, 100];

const has = (site: PlannedSite, label: string): boolean => {
  const at = label.indexOf('=');
  return site.labels[label.slice(0, at)] === label.slice(at + 1);
};

/** The sites that the wish means, canaries too, by name. */
export function chooseSites<S extends PlannedSite>(sites: readonly S[], { labels }: BatchWish): S[] {
  const chosen = labels.length === 0 ? sites : sites.filter((site) => labels.some((label) => has(site, label)));
  return chosen.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** Canaries, then a batch for each label in the order given, or for each share; empty ones are left out. */
export function planBatches(sites: readonly PlannedSite[], wish: BatchWish): Batches {
  const chosen = chooseSites(sites, wish);
  const first = chosen.filter(({ name }) => wish.canaries.includes(name));
  const rest = chosen.filter(({ name }) => !wish.canaries.includes(name));
  const byLabel = wish.labels.length > 0 && wish.percents === undefined;
  const parts: { title: string; sites: PlannedSite[] }[] = [{ title: 'canary', sites: first }];
  if (byLabel) {
    for (const label of wish.labels) {
      const before = new Set(parts.flatMap((part) => part.sites));
      parts.push({ title: label, sites: rest.filter((site) => has(site, label) && !before.has(site)) });
    }
  } else {
    let from = 0;
    for (const percent of wish.percents ?? DEFAULT_PERCENTS) {
      const to = Math.ceil((rest.length * percent) / 100);
      parts.push({ title: `${percent} %`, sites: rest.slice(from, to) });
      from = Math.max(from, to);
    }
  }
  const filled = parts.filter((part) => part.sites.length > 0);
  return {
    titles: filled.map(({ title }) => title),
    sites: filled.flatMap((part, batch) => part.sites.map(({ id, name }) => ({ site: id, name, batch }))),
  };
}

/** Where a wave is. */
export interface Standing {
  /** The batch that is under way; undefined when every site was tried. */
  batch: number | undefined;
  /** Sites that were brought back. */
  failed: number;
  /** Why it stops; undefined while it may go on. */
  stops: string | undefined;
}

/**
 * The rule: of the sites of a batch and of those before it at most the share `stopAt` may fail. So any failure among a few
 * canaries stops, however many come after them, and in the last batch as many may fail as that share of all sites.
 */
export function judgeWave(wave: Pick<WaveRow, 'stopAt' | 'batches'>, rows: readonly WaveSiteRow[]): Standing {
  const open = rows.filter(({ state }) => state === 'waiting' || state === 'upgrading');
  const batch = open.length === 0 ? undefined : Math.min(...open.map((row) => row.batch));
  const failed = rows.filter(({ state }) => state === 'failed');
  const stuck = rows.find(({ state }) => state === 'stuck');
  if (stuck !== undefined) {
    const stops = `${stuck.name} could be neither upgraded nor brought back, and needs a person: ${stuck.reason}`;
    return { batch, failed: failed.length, stops };
  }
  for (const [number, title] of wave.batches.entries()) {
    const sites = rows.filter((row) => row.batch <= number).length;
    const bad = failed.filter((row) => row.batch <= number).length;
    if (bad > wave.stopAt * sites) {
      const stops = `${bad} of ${sites} sites up to the batch "${title}" failed, more than ${percentOf(wave.stopAt)}`;
      return { batch, failed: failed.length, stops };
    }
  }
  return { batch, failed: failed.length, stops: undefined };
}

export const percentOf = (share: number): string => `${Math.round(share * 1000) / 10} %`;
