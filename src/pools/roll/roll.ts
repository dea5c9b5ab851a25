// Brings a pool's nodes to another image, and by itself back to the old one when the new nodes serve worse. The pool
// counts as having the new image only when every node has it, so whoever makes a node meanwhile makes an old one; the pool's
// lock keeps healing, scaling and a second roll away.
import { z } from 'zod';
import type { Clock } from '../../lib/clock.ts';
import { toProblem } from '../../lib/errors.ts';
import { makeOperation, type OperationKind, type Step, type StepContext } from '../../platform/operations/operation.ts';
import type { Json } from '../../platform/store.ts';
import { type PoolParts, poolLock } from '../parts.ts';
import { readPool, storePoolImage } from '../store.ts';
import { type GateWatch, makeGateWatch, toBaseline } from './gates.ts';
import { bringTo, goBack, readSides, removeNodes } from './moves.ts';
import { readRoll, storeRollEnd, storeRollReason } from './store.ts';

const paramsSchema = z.object({
  pool: z.string(),
  /** Works for it, and has always its image. */
  workers: z.string().nullable(),
  app: z.string(),
  from: z.int(),
  to: z.int(),
  strategy: z.enum(['canary', 'rolling', 'additional-batch', 'immutable']),
  batch: z.int().min(1),
  bakeMs: z.int().min(0),
});
export type RollParams = z.infer<typeof paramsSchema>;

/** Of a roll that is paused as well: nothing is paused for ever. */
const LONGEST_MS = 24 * 3_600_000;
const PAUSE_POLL_MS = 1_000;
/** Watched once more when no old node is left. */
const SETTLE_MS = 10_000;

/** The operation `pool.roll`. */
export function makePoolRoll(parts: PoolParts): OperationKind<RollParams> {
  const { store, events } = parts;
  return makeOperation<RollParams>({
    kind: 'pool.roll',
    params: paramsSchema,
    locks: ({ pool, workers }) => [poolLock(pool), ...(workers === null ? [] : [poolLock(workers)])],
    title: ({ pool, app, from, to }) => `Roll the pool ${pool} from ${app}/${from} to ${app}/${to}`,
    steps: (params) => {
      const { pool, workers, app, from, to, strategy, batch, bakeMs } = params;
      const pools = workers === null ? [pool] : [pool, workers];
      const imageName = `${app}/${to}`;

      const tell = async (ctx: StepContext, reason: string): Promise<void> => {
        ctx.say(reason);
        await storeRollReason(store, ctx.operationId, reason);
      };
      const readWhy = async ({ operationId }: StepContext): Promise<string> => {
        const { problem, cancelledBy } = await parts.operations.read(operationId);
        return cancelledBy === null ? (problem?.detail ?? 'it failed') : `aborted by ${cancelledBy}`;
      };
      const back = async (ctx: StepContext): Promise<void> => {
        const why = await readWhy(ctx);
        for (const one of pools) await goBack(parts, { pool: one, from, to }, why, ctx);
      };
      const wantedNow = async (name: string): Promise<number> => (await readPool(store, name))?.wanted ?? 0;
      const makeWatch = (ctx: StepContext): GateWatch =>
        makeGateWatch(parts, { pool, to, before: toBaseline(ctx.outputs.bake as Json | undefined) });

      /** One batch in the order of the strategy. `size`: how many new nodes there are afterwards. */
      async function moveBatch(name: string, size: number, ctx: StepContext, keepOld = false): Promise<void> {
        const wanted = await wantedNow(name);
        const reason = `the roll to ${imageName}`;
        const count = Math.min(size, wanted);
        if (strategy === 'rolling') {
          const { old } = await readSides(parts, name, to);
          await removeNodes(parts, old.slice(0, Math.max(0, old.length - (wanted - count))), reason, ctx);
        }
        await bringTo(parts, { pool: name, imageNumber: to, count, reason }, ctx);
        const { fresh, old } = await readSides(parts, name, to);
        const tooMany = fresh.length + old.length - wanted;
        if (!keepOld) await removeNodes(parts, old.slice(0, Math.max(0, tooMany)), reason, ctx);
      }

      async function whilePaused(ctx: StepContext): Promise<void> {
        for (let told = false; ; told = true) {
          const by = (await readRoll(store, ctx.operationId))?.pausedBy ?? null;
          if (by === null) return;
          if (!told) await tell(ctx, `paused by ${by}`);
          await parts.clock.wait(PAUSE_POLL_MS, ctx.signal);
        }
      }

      const first: Step = {
        name: 'first',
        timeoutMs: LONGEST_MS,
        async do(ctx) {
          await whilePaused(ctx);
          const count = strategy === 'canary' || strategy === 'immutable' ? 1 : batch;
          await tell(ctx, `making the first ${count === 1 ? 'node' : `${count} nodes`} of ${imageName}`);
          const extra = strategy === 'canary' || strategy === 'immutable';
          await moveBatch(pool, count, ctx, extra);
        },
        undo: back,
      };
      const bake: Step = {
        name: 'bake',
        timeoutMs: LONGEST_MS,
        async do(ctx) {
          await tell(ctx, `watching the first nodes of ${imageName} for ${bakeMs / 1000} s`);
          const watch = makeWatch(ctx);
          const untilMs = parts.clock.monotonicMs() + bakeMs;
          await watch.look(ctx.signal);
          while (parts.clock.monotonicMs() < untilMs) {
            await parts.clock.wait(Math.min(PAUSE_POLL_MS, bakeMs), ctx.signal);
            await watch.look(ctx.signal);
          }
          return (watch.baseline() ?? null) as unknown as Json;
        },
      };
      const rest: Step = {
        name: 'rest',
        timeoutMs: LONGEST_MS,
        do: (ctx) =>
          whileGood(makeWatch(ctx), ctx, parts.clock, async (watched) => {
            for (;;) {
              await whilePaused(watched);
              const wanted = await wantedNow(pool);
              const { fresh, old } = await readSides(parts, pool, to);
              if (fresh.length >= wanted && old.length === 0) return;
              const step = strategy === 'immutable' ? wanted : batch;
              const next = Math.min(wanted, fresh.length + step);
              await tell(ctx, `${fresh.length} of ${wanted} nodes have ${imageName}, ${next} are next`);
              // All new ones show that they can carry the whole pool before the old ones leave.
              const isSwap = strategy === 'immutable' && fresh.length < wanted;
              await moveBatch(pool, next, watched, isSwap);
              if (isSwap) await parts.clock.wait(Math.min(SETTLE_MS, bakeMs), watched.signal);
            }
          }),
        undo: back,
      };
      const settle: Step = {
        name: 'settle',
        timeoutMs: LONGEST_MS,
        async do(ctx) {
          const lengthMs = Math.min(SETTLE_MS, bakeMs);
          const watch = makeWatch(ctx);
          const untilMs = parts.clock.monotonicMs() + lengthMs;
          while (parts.clock.monotonicMs() < untilMs) {
            await watch.look(ctx.signal);
            await parts.clock.wait(PAUSE_POLL_MS, ctx.signal);
          }
        },
      };
      const workersToo: Step[] =
        workers === null
          ? []
          : [
              {
                name: 'workers',
                timeoutMs: LONGEST_MS,
                async do(ctx) {
                  for (;;) {
                    const { fresh, old } = await readSides(parts, workers, to);
                    const wanted = await wantedNow(workers);
                    if (fresh.length >= wanted && old.length === 0) return;
                    await tell(ctx, `${fresh.length} of ${wanted} workers have ${imageName}`);
                    await moveBatch(workers, Math.min(wanted, fresh.length + 1), ctx);
                  }
                },
                undo: back,
              },
            ];

      return [
        {
          name: 'check',
          timeoutMs: 60_000,
          do: ({ signal }) => parts.assertImage(app, to, signal),
          // The last undo of all: now every node has the old image again.
          async undo(ctx) {
            const reason = await readWhy(ctx);
            await store.transaction(async (sql) => {
              await storeRollEnd(sql, ctx.operationId, 'returned', reason);
              const event = { kind: 'pool.roll-returned', subject: poolLock(pool), by: `operation:${ctx.operationId}` };
              await events.append(sql, { ...event, reason, data: { from, to } });
            });
          },
        },
        first,
        bake,
        rest,
        ...workersToo,
        settle,
        {
          name: 'commit',
          timeoutMs: 30_000,
          async do({ operationId }) {
            await store.transaction(async (sql) => {
              for (const one of pools) await storePoolImage(sql, one, to);
              const reason = `every node has ${imageName}`;
              await storeRollEnd(sql, operationId, 'done', reason);
              const event = { kind: 'pool.rolled', subject: poolLock(pool), by: `operation:${operationId}`, reason };
              await events.append(sql, { ...event, data: { from, to } });
            });
          },
          async undo() {
            await store.transaction(async (sql) => {
              for (const one of pools) await storePoolImage(sql, one, from);
            });
          },
        },
      ];
    },
  });
}

/** Does the work while the gates hold; the first that fails ends it with its problem. An edge that cannot be asked for a moment ends nothing. */
async function whileGood(
  gates: GateWatch,
  ctx: StepContext,
  clock: Clock,
  work: (watched: StepContext) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([ctx.signal, stop.signal]);
  const watching = async (): Promise<never> => {
    for (;;) {
      try {
        return await gates.watch(signal);
      } catch (thrown) {
        if (signal.aborted || !toProblem(thrown).retryable) throw thrown;
        await clock.wait(PAUSE_POLL_MS, signal);
      }
    }
  };
  const watched: StepContext = {
    operationId: ctx.operationId,
    outputs: ctx.outputs,
    say: (line) => ctx.say(line),
    signal,
  };
  const watch = watching();
  const working = work(watched);
  try {
    // The watch ends only by failing.
    await Promise.race([working, watch]);
  } finally {
    stop.abort(new Error('the batch is over'));
    await Promise.allSettled([working, watch]);
  }
}
