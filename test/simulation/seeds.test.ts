// The simulation in the tests' time: at least a thousand seeds, in as many processes as there are cores.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';

const SEEDS = 1_000;

void it(`${SEEDS} seeds of servers, networks, controllers and a database under faults leave nothing wrong`, async (t) => {
  const shards = Math.max(2, availableParallelism());
  const size = Math.ceil(SEEDS / shards);
  const program = join(import.meta.dirname, 'seeds.ts');
  const outputs = await Promise.all(
    Array.from({ length: shards }, async (_, shard) => {
      const range = [String(shard * size + 1), String((shard + 1) * size)];
      // What failed is in the output, whatever the exit code.
      const { stdout } = await promisify(execFile)(process.execPath, [program, ...range], { signal: t.signal }).catch(
        (thrown: { stdout?: string }) => ({ stdout: thrown.stdout ?? String(thrown) }),
      );
      return stdout.trim();
    }),
  );
  let seeds = 0;
  for (const output of outputs) {
    const last = output.split('\n').at(-1) ?? '';
    assert.ok(last.startsWith('{'), output);
    const summary = JSON.parse(last) as { seeds: number; failed: number };
    t.diagnostic(last);
    assert.equal(summary.failed, 0, `replay with: node test/simulation/seeds.ts SEED SEED\n${output}`);
    seeds += summary.seeds;
  }
  assert.ok(seeds >= SEEDS);
});
