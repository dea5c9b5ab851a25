// Collects what comes while the batch before is under way, and does it together: alone it waits for nothing, in a crowd it
// shares its transaction. Apart because heartbeats and ends of runs both come one by one and are stored by the hundred.

export interface Batcher<In, Out> {
  /** Resolves with the item's own answer, or rejects with its batch. */
  add(item: In): Promise<Out>;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

interface Waiting<In, Out> {
  item: In;
  resolve(out: Out): void;
  reject(thrown: unknown): void;
}

/** `run` answers a batch in its order; at most `most` items at once, and at most `abreast` batches under way. */
export function makeBatcher<In, Out>(
  run: (items: In[]) => Promise<Out[]>,
  most: number,
  abreast = 1,
): Batcher<In, Out> {
  const waiting: Waiting<In, Out>[] = [];
  const turns = new Set<Promise<void>>();

  async function turn(): Promise<void> {
    // What else comes in this moment is of the same batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const batch = waiting.splice(0, most);
      try {
        const answers = await run(batch.map((one) => one.item));
        batch.forEach((one, index) => {
          one.resolve(answers[index] as Out);
        });
      } catch (thrown) {
        for (const one of batch) one.reject(thrown);
      }
    }
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
