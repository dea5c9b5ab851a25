// Edges and controllers of a lab that are killed while somebody visits, and how long it takes until the other acts. Apart because
// the test and the benchmark of servers do the same. The lab is a cluster as open-cluster.ts makes it: the controllers'
// PostgreSQL is on s3, from which everything is visited.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { type ClusterCommands, giveLead, passAddress, placeEdges } from './open-cluster.ts';
import type { Lab } from './open-lab.ts';

const MOST_LOOKS = 400;
/** Each look is two processes, on the cores on which the other is to act. */
const LOOK_PAUSE_MS = 200;
/** Of the servers' network: nobody has it. */
const SHARED_LAST_BYTE = 250;

interface EdgeRow {
  name: string;
  server: string;
  state: string;
  holds: string | null;
}

export interface Visits {
  /** The longest time without an answer in which somebody failed to get one, in seconds: a visitor who stalls is no outage. */
  gapS: number;
  /** How many failed one after the other, at most. */
  failedInRow: number;
}

export interface Takeovers {
  /** An edge on two servers, an address that they share, and a controller on s2 beside s1's; what is there stays. Gives the address. */
  prepare(): Promise<string>;
  /** The edge that has the address. */
  holder(): Promise<EdgeRow>;
  /** Visits from s3 ten times a second for so long, each for `patienceS` at most. */
  visit(seconds: number, meanwhile: () => Promise<void>, patienceS?: number): Promise<Visits>;
  /** Stops the container of the edge that holds the address; resolves with the gap when the edge was healed. */
  killEdge(): Promise<number>;
  /** The same with the whole server, which is not s1. */
  killHolder(): Promise<number>;
  /** Kills s1's controller, which leads; gives the seconds until s2 has carried a change out to the edges. */
  killController(): Promise<number>;
  /** Brings s1's controller back, and the lead to it. */
  returnController(): Promise<void>;
  until(what: string, isSo: () => Promise<boolean>): Promise<number>;
}

export function makeTakeovers(lab: Lab, { done, run, list }: ClusterCommands): Takeovers {
  const clock = makeSystemClock();
  let shared = '';
  const stateOf = async (asked: string, name: string) =>
    (await list<{ name: string; state: string }>('controller', asked)).find((one) => one.name === name)?.state;

  async function until(what: string, isSo: () => Promise<boolean>): Promise<number> {
    const begunMs = performance.now();
    for (let look = 0; look < MOST_LOOKS; look += 1) {
      if (await isSo().catch(() => false)) return (performance.now() - begunMs) / 1000;
      await clock.wait(LOOK_PAUSE_MS);
    }
    throw new Error(`${what}: it never came to that`);
  }

  async function visit(seconds: number, meanwhile: () => Promise<void>, patienceS = 0.5): Promise<Visits> {
    const ask = `curl --silent --output /dev/null --max-time ${patienceS} http://${shared}/.espalier/edge`;
    const script = `
      end=$((SECONDS + ${seconds}))
      while [ $SECONDS -lt $end ]; do
        if ${ask}; then echo "$(date +%s.%N) answered"; else echo "$(date +%s.%N) failed"; fi
        sleep 0.1
      done`;
    const begunS = Date.now() / 1000;
    const visitor = run('s3', 'bash', '-c', script);
    await meanwhile().catch(async (thrown: unknown) => {
      await visitor;
      throw thrown;
    });
    const visits = (await visitor).split('\n').map((line) => line.split(' '));
    assert.ok(visits.length > seconds, 'somebody visited');
    let [answeredS, failed, gapS, failedInRow] = [begunS, 0, 0, 0];
    for (const [at = '', outcome] of visits) {
      if (outcome === 'failed') failed += 1;
      failedInRow = Math.max(failedInRow, failed);
      if (failed > 0) gapS = Math.max(gapS, Number(at) - answeredS);
      if (outcome === 'answered') [answeredS, failed] = [Number(at), 0];
    }
    return { gapS, failedInRow };
  }

  async function holder(): Promise<EdgeRow> {
    const found = (await list<EdgeRow>('edge')).find(({ holds }) => holds === shared);
    return found ?? assert.fail(`nobody holds ${shared}`);
  }

  const untilEdgesReady = () =>
    until('each edge is ready', async () => (await list<EdgeRow>('edge')).every(({ state }) => state === 'ready'));

  return {
    ...{ until, visit, holder },
    async prepare() {
      const address = (await lab.status()).find(({ name }) => name === 's3')?.address ?? '';
      shared = address.replace(/\d+$/, String(SHARED_LAST_BYTE));
      await placeEdges({ done, run, list });
      if ((await list<EdgeRow>('edge')).every(({ holds }) => holds === null))
        await done('s1', 'edge', 'share', shared, '--http-port', '80');
      if ((await stateOf('s1', 's2')) === undefined)
        await done('s2', 'controller', 'join', await done('s1', 'controller', 'add', 's2'));
      await until('a controller stands by', async () => (await stateOf('s1', 's2')) === 'standing by');
      return shared;
    },
    async killEdge() {
      const { name, server } = await holder();
      const stop = ['incus', '--project', 'espalier', 'stop', '--force', name];
      const { gapS } = await visit(12, async () => {
        await run(server, ...stop);
      });
      await untilEdgesReady();
      return gapS;
    },
    async killHolder() {
      const { server } = await holder();
      if (server === 's1') await passAddress({ done, run, list }, 's1', until);
      const victim = (await holder()).server;
      const { gapS } = await visit(12, async () => {
        assert.equal((await lab.run('kill', victim)).code, 0);
      });
      assert.equal((await lab.run('heal', victim)).code, 0);
      const healedMs = performance.now();
      await until('it is ready, and was heard since', async () => {
        const all = await list<{ name: string; state: string; silentMs: number }>('server');
        const { state, silentMs } = all.find(({ name }) => name === victim) ?? assert.fail(`there is no ${victim}`);
        return state === 'ready' && silentMs < performance.now() - healedMs;
      });
      await untilEdgesReady();
      return gapS;
    },
    async killController() {
      const begunMs = performance.now();
      await run('s1', 'systemctl', 'kill', '--signal=KILL', 'espalier-controller');
      // It is started again at once otherwise: the first that asks leads.
      await run('s1', 'systemctl', 'stop', 'espalier-controller');
      await until('s2 acts', async () => {
        await done('s2', 'site', 'limit', 'wordpress', '--connections', '99');
        return (await stateOf('s2', 's2')) === 'leading';
      });
      return (performance.now() - begunMs) / 1000;
    },
    async returnController() {
      await run('s1', 'systemctl', 'start', 'espalier-controller');
      await until('s1 stands by', async () => (await stateOf('s2', 's1')) === 'standing by');
      await giveLead({ done, run, list }, until);
      await done('s1', 'site', 'limit', 'wordpress', '--reset', 'connections');
    },
  };
}
