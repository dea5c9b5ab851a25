// Sites of the benchmarks: made, listed, and removed again when an earlier run left some.
import type { OperationDocument, PageDocument } from '../src/cli/documents.ts';
import type { Place } from './place.ts';

/** All begin with it, so that what an earlier run left is known. */
export const PREFIX = 'bench-';
const AT_ONCE = 8;
const PURGE_MS = 300_000;
const PURGE_POLL_MS = 1_000;

/** Gives names that no earlier run used. */
export function makeNames(place: Place): () => string {
  const run = Math.floor(place.clock.nowMs() / 1000).toString(36);
  let made = 0;
  return () => {
    made += 1;
    return `${PREFIX}${run}-${made}`;
  };
}

/** Begins a site whose title is its name, so that its page tells which it is; gives the operation's id. */
export function beginSite(place: Place, name: string, app: string): Promise<string> {
  return place.begin('POST', '/v1/sites', { name, app, pool: app, hosts: [`${name}.localhost`], title: name });
}

export async function createSite(place: Place, name: string, app: string): Promise<OperationDocument> {
  return place.finish(await beginSite(place, name, app));
}

/** Asks for all in the same moment; gives those operations that succeeded. */
export async function createSites(place: Place, names: readonly string[], app: string): Promise<OperationDocument[]> {
  return place.finishAll(await Promise.all(names.map((name) => beginSite(place, name, app))));
}

/** Names of the sites in a pool that are ready. */
export async function listReadySites(place: Place, pool: string): Promise<string[]> {
  return listNames(place, `pool=${pool} state=ready`);
}

async function listNames({ client }: Place, filter: string): Promise<string[]> {
  const query = { pageSize: 500, filter };
  const { body } = await client.request<PageDocument<{ name: string }>>('GET', '/v1/sites', { query });
  return body.items.map(({ name }) => name);
}

/** Removes all sites of earlier runs from a pool and waits until nothing is left of them. */
export async function removeLeftovers(place: Place, pool: string): Promise<void> {
  const listOurs = async () => (await listNames(place, `pool=${pool}`)).filter((name) => name.startsWith(PREFIX));
  const left = await listOurs();
  if (left.length === 0) return;
  place.say(`removing ${left.length} sites of an earlier run`);
  await inTurns(left, AT_ONCE, async (name) => {
    // One that is archived already is only waited for.
    const id = await place.begin('DELETE', `/v1/sites/${name}`, undefined, { graceS: 0 }).catch(() => undefined);
    if (id !== undefined) await place.finish(id);
  });
  const endMs = place.clock.monotonicMs() + PURGE_MS;
  while ((await listOurs()).length > 0) {
    if (place.clock.monotonicMs() > endMs) throw new Error('the sites of an earlier run are still there');
    await place.clock.wait(PURGE_POLL_MS);
  }
}

/** Does the work for every item, at most so many at once; throws the first failure after all have ended. */
export async function inTurns<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  const outcomes = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
