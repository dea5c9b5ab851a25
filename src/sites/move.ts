// Moves a site to another pool of its app. Its files are carried while it serves; for the last of them its visitors wait at
// the edge, its old nodes close its PHP, and then one transaction says where it lives. Before that transaction every failure
// leads back to the old pool, after it everything leads on to the new one; so it is served, and written, by one side only.

import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Json, Sql } from '../platform/store.ts';
import { listNodes, readPool } from '../pools/store.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig, takeConfigVersion } from '../servers/config-clock.ts';
import { ensureCarriers, removeCarriers, type Way } from './carriers.ts';
import { carryFirst, carryPass, type Pass, removeCarried } from './carry.ts';
import { storeMoving } from './move-store.ts';
import { checkOnNodes } from './nodes.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { estimatePauseS, type MoveParams, moveParamsSchema, type NewMove, readMove } from './plan-move.ts';
import { siteProblems } from './problems.ts';
import { removeContent } from './remove-content.ts';
import { readSite, type SiteRow } from './store.ts';
import { switchPools, unhold } from './switch-pools.ts';

const COPY_MS = 3_600_000;
/** Runs under way get this long to end by themselves. */
const RUNS_MS = 600_000;
/** Passes are repeated while each is at least this much shorter than the one before. */
const MOST_PASSES = 5;
const WORTH = 0.7;

/** Tasks of which a run waited when they were paused. */
const waitedOf = (outputs: Readonly<Record<string, Json>>): string[] =>
  z.array(z.string()).catch([]).parse(outputs.tasks);

/** Begins `site.move` in the caller's transaction. */
export async function startSiteMove(
  parts: SiteParts,
  sql: Sql,
  name: string,
  wish: NewMove,
  who: Asker,
): Promise<Operation> {
  // Held to the end of the transaction, as a creation holds it: who comes second sees that the place is taken.
  const version = await takeConfigVersion(sql);
  const params = await readMove(sql, name, wish);
  await storeMoving(sql, params.site, params.to, version);
  return parts.operations.start(sql, 'site.move', params, who);
}

/** The operation `site.move`. */
export function makeSiteMove(parts: SiteParts): OperationKind<MoveParams> {
  const { store, events } = parts;
  return makeOperation<MoveParams>({
    kind: 'site.move',
    params: moveParamsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, from, to }) => `Move the site ${name} from ${from} to ${to}`,
    steps: ({ site: id, name, from, to, maxPauseS }) => {
      const way: Way = { folder: id, as: id, from, to };
      const read = async (): Promise<SiteRow> => {
        const site = await readSite(store, id);
        if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
        return site;
      };
      const readGeneration = async (pool: string): Promise<number> => (await readPool(store, pool))?.generation ?? 0;
      const hasMoved = async (): Promise<boolean> => (await read()).pool === to;
      /** Takes the site off the pool where it does not live: its configuration, its PHP, its files. */
      const leave = async (pool: string, signal: AbortSignal): Promise<void> => {
        for (const one of [from, to]) await syncPool(parts.pools, one, signal);
        if ((await listNodes(store, { pool })).length === 0 && pool === from) {
          await ensureCarriers(parts, way, signal);
          await removeCarried(parts, way, signal);
        } else await removeContent(parts, { ...(await read()), pool }, signal);
      };
      /** Copies until there is little left to carry. */
      const follow = async (signal: AbortSignal, say: (line: string) => void): Promise<Pass> => {
        let last = await carryPass(parts, way, signal);
        for (let count = 1; count < MOST_PASSES; count += 1) {
          say(`${last.carriedFiles} of ${last.files} files carried in ${last.seconds.toFixed(1)} s`);
          const next = await carryPass(parts, way, signal);
          const isWorth = next.seconds < last.seconds * WORTH;
          last = next;
          if (!isWorth) break;
        }
        return last;
      };
      return [
        {
          name: 'prepare',
          timeoutMs: 120_000,
          async do({ signal }) {
            if (await hasMoved()) return;
            await changeConfig(store, (sql, version) => storeMoving(sql, id, to, version));
            await syncPool(parts.pools, to, signal);
          },
          async undo({ signal }) {
            if (await hasMoved()) return;
            await changeConfig(store, (sql, version) => storeMoving(sql, id, null, version));
            await leave(to, signal);
            await parts.pools.syncEdges(signal);
          },
        },
        {
          name: 'copy',
          timeoutMs: COPY_MS,
          async do({ signal, say }) {
            if (await hasMoved()) return;
            await ensureCarriers(parts, way, signal);
            await carryFirst(parts, way, signal);
            const last = await follow(signal, say);
            const pauseS = estimatePauseS(last.files, last.seconds);
            say(`its visitors will wait about ${pauseS} s`);
            if (pauseS > maxPauseS) {
              const why = `the last of ${MOST_PASSES} passes over ${last.files} files took ${last.seconds.toFixed(1)} s`;
              throw siteProblems.make('pause-too-long', { site: name, pauseS, maxS: maxPauseS, why });
            }
            return { bytes: last.bytes, files: last.files, expectedPauseS: pauseS };
          },
          undo: ({ signal }) => removeCarriers(parts, id, signal),
        },
        {
          name: 'check',
          timeoutMs: 60_000,
          async do({ signal }) {
            const site = await read();
            const check = parts.readRecipe(site.app)?.site?.check;
            // The new nodes show its page before a visitor is sent to them.
            if (site.pool === from && site.state === 'ready' && check !== undefined)
              await checkOnNodes(parts, { ...site, pool: to, generation: await readGeneration(to) }, check, signal);
          },
        },
        {
          name: 'tasks',
          timeoutMs: RUNS_MS,
          async do({ signal }) {
            const site = await read();
            return site.pool === from && site.state === 'ready' ? await parts.tasks.paused(id, signal) : [];
          },
          async undo({ outputs }) {
            if ((await read()).state !== 'ready') return;
            await store.transaction((sql) => parts.tasks.opened(sql, id, waitedOf(outputs)));
          },
        },
        {
          name: 'switch',
          timeoutMs: COPY_MS,
          async do({ signal, say, outputs }) {
            const before = await read();
            if (before.pool === from && before.held === null) await follow(signal, say);
            const measured = await switchPools(parts, before, { ...way, maxPauseS, waited: waitedOf(outputs) }, signal);
            if (measured !== undefined) say(`its visitors waited ${measured.pauseS.toFixed(2)} s`);
            return (measured ?? null) as Json;
          },
          async undo({ signal }) {
            // Where it lives now it may have been written: there is no way back, only the rest of the way.
            if (await hasMoved()) await leave(from, signal);
            else await unhold(parts, await read(), signal);
          },
        },
        {
          name: 'leave',
          timeoutMs: 600_000,
          async do({ signal }) {
            await leave(from, signal);
            await removeCarriers(parts, id, signal);
          },
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do({ outputs }) {
            const reason = `moved from ${from} to ${to}`;
            const data = { name, from, to, switch: outputs.switch ?? null };
            await events.append(store, { kind: 'site.moved', subject: siteLock(id), by: 'operation', reason, data });
          },
        },
      ];
    },
  });
}
