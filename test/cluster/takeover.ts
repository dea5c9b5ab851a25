// Edges and controllers of a lab that are killed while somebody visits, and how long it takes until the other acts. Apart because
// the test and the benchmark of servers do the same. The lab is a cluster as open-cluster.ts makes it: the controllers'
// PostgreSQL is on s3, from which everything is visited.
import assert from 'node:assert/strict';
import { type ClusterCommands, placeEdges } from './open-cluster.ts';
import type { Lab } from './open-lab.ts';

const MOST_LOOKS = 400;
/** Of the servers' network: nobody has it. */
const SHARED_LAST_BYTE = 250;

interface EdgeRow {
  name: string;
  server: string;
  state: string;
  holds: string | null;
}

export interface Takeovers {
  /** An edge on two servers, an address that they share, and a controller on s2 beside s1's; what is there stays. Gives the address. */
  prepare(): Promise<string>;
  /** The edge that has the address. */
  holder(): Promise<EdgeRow>;
  /** Visits from s3 ten times a second for so long; gives the longest time without an answer, in seconds. */
  visit(seconds: number, meanwhile: () => Promise<void>): Promise<number>;
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
  let shared = '';
  const stateOf = async (asked: string, name: string) =>
    (await list<{ name: string; state: string }>('controller', asked)).find((one) => one.name === name)?.state;

  async function until(what: string, isSo: () => Promise<boolean>): Promise<number> {
    const begunMs = performance.now();
    for (let look = 0; look < MOST_LOOKS; look += 1)
      if (await isSo().catch(() => false)) return (performance.now() - begunMs) / 1000;
    throw new Error(`${what}: it never came to that`);
  }

  async function visit(seconds: number, meanwhile: () => Promise<void>): Promise<number> {
    const script = `
      end=$((SECONDS + ${seconds})); last=$(date +%s.%N)
      while [ $SECONDS -lt $end ]; do
        curl --silent --output /dev/null --max-time 0.5 http://${shared}/.espalier/edge && {
          now=$(date +%s.%N); echo "$now - $last" | bc; last=$now; }
        sleep 0.1
      done
      echo "$(date +%s.%N) - $last" | bc`;
    const visitor = run('s3', 'bash', '-c', script);
    await meanwhile();
    const gaps = (await visitor).split('\n').map(Number);
    assert.ok(gaps.length > seconds, 'the visitor got answers');
    return Math.max(...gaps);
  }

  async function holder(): Promise<EdgeRow> {
    const found = (await list<EdgeRow>('edge')).find(({ holds }) => holds === shared);
    return found ?? assert.fail(`nobody holds ${shared}`);
  }

  const untilReady = (noun: string) =>
    until(`each ${noun} is ready`, async () =>
      (await list<{ state: string }>(noun)).every(({ state }) => state === 'ready'),
    );

  return {
    ...{ until, visit, holder },
    async prepare() {
      const address = (await lab.status()).find(({ name }) => name === 's3')?.address ?? '';
      shared = address.replace(/\d+$/, String(SHARED_LAST_BYTE));
      await placeEdges({ done, run, list });
      if ((await list<EdgeRow>('edge')).every(({ holds }) => holds === null)) await done('s1', 'edge', 'share', shared);
      if ((await stateOf('s1', 's2')) === undefined)
        await done('s2', 'controller', 'join', await done('s1', 'controller', 'add', 's2'));
      await until('a controller stands by', async () => (await stateOf('s1', 's2')) === 'standing by');
      return shared;
    },
    async killEdge() {
      const { name, server } = await holder();
      const stop = ['incus', '--project', 'espalier', 'stop', '--force', name];
      const gapS = await visit(12, async () => {
        await run(server, ...stop);
      });
      await untilReady('edge');
      return gapS;
    },
    async killHolder() {
      const { server } = await holder();
      if (server === 's1') {
        // keepalived gives the address up; who has it then keeps it.
        await run('s1', 'systemctl', 'restart', 'espalier-espalier-shared-address');
        await until('it has moved', async () => (await holder()).server !== 's1');
      }
      const victim = (await holder()).server;
      const gapS = await visit(12, async () => {
        assert.equal((await lab.run('kill', victim)).code, 0);
      });
      assert.equal((await lab.run('heal', victim)).code, 0);
      await untilReady('server');
      await untilReady('edge');
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
      await run('s2', 'systemctl', 'restart', 'espalier-controller');
      await until('s1 leads, s2 stands by', async () => {
        const [first, second] = [await stateOf('s1', 's1'), await stateOf('s1', 's2')];
        return first === 'leading' && second === 'standing by';
      });
      await done('s1', 'site', 'limit', 'wordpress', '--reset', 'connections');
    },
  };
}
