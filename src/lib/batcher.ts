// Collects what comes while the batch before is under way, and does it together: alone it waits for nothing, in a crowd it
// shares its transaction. Apart because heartbeats and ends of runs both come one by one and are stored by the hundred.
import { toProblem } from './errors.ts';

export interface Batcher<In, Out> {
  /** Resolves with the item's own answer; rejects when its batch cannot be run now, or it cannot be run even by itself. */
  add(item: In): Promise<Out>;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

interface Waiting<In, Out> {
  item: In;
  resolve(out: Out): void;
  reject(thrown: unknown): void;
}

/**
 * `run` answers a batch in its order; at most `most` items at once, and at most `abreast` batches under way. A batch that fails for good
 * is run again in halves, so that one bad item spoils no other: what `run` did of it must be such that it can be done again.
 */
export function makeBatcher<In, Out>(
  run: (items: In[]) => Promise<Out[]>,
  most: number,
  abreast = 1,
): Batcher<In, Out> {
  const waiting: Waiting<In, Out>[] = [];
  const turns = new Set<Promise<void>>();

  async function settle(batch: Waiting<In, Out>[]): Promise<void> {
    try {
      const answers = await run(batch.map((one) => one.item));
      batch.forEach((one, index) => {
        one.resolve(answers[index] as Out);
      });
    } catch (thrown) {
      if (batch.length > 1 && !toProblem(thrown).retryable) {
        const half = Math.ceil(batch.length / 2);
        await settle(batch.slice(0, half));
        await settle(batch.slice(half));
      } else for (const one of batch) one.reject(thrown);
    }
  }

  async function turn(): Promise<void> {
    // What else comes in this moment is of the same batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0) await settle(waiting.splice(0, most));
  }

  function start(): void {
    const one: Promise<void> = turn().finally(() => turns.delete(one));
    turns.add(one);
  }

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        if (turns.size < abreast) start();
      }),
    async idle() {
      while (turns.size > 0) await Promise.all(turns);
    },
  };
}
