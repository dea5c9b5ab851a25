// The life of one server under any order of silence, word of others, hellos and kills of the controller: nothing of it is made
// anew before its fence is up, and it serves again only when it is clean. The states and who changes them are in store.ts.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { makeSystemClock } from '../lib/clock.ts';
import { makeEvents } from '../platform/events.ts';
import type { Operation, OperationKind, Operations, StepContext } from '../platform/operations/operation.ts';
import type { Json, Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { type CleanParts, makeServerClean } from './clean.ts';
import { readCluster, storeCluster } from './cluster-store.ts';
import { type FenceParts, makeServerFence } from './fence.ts';
import { welcomeAgent } from './meet-agents.ts';
import { isApart, listServers, readServer, type ServerState, storeDraining, storeHeartbeats } from './store.ts';
import { readTunnels } from './tunnel.ts';
import { type WatchParts, watchServers } from './watch.ts';

const NAME = 's2';
const LOAD = {
  ...{ cores: 1, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 },
  ...{ memoryTotalBytes: 1, memoryAvailableBytes: 1, diskTotalBytes: 1, diskFreeBytes: 1 },
};
const network = { cidr: '10.87.16.1/20', bridge: 'try0' };

/** Which state may follow which, but for itself. */
const FOLLOWS: Record<ServerState, readonly ServerState[]> = {
  joining: ['ready'],
  ready: ['lost', 'draining'],
  draining: ['lost', 'ready'],
  lost: ['ready', 'draining', 'fenced'],
  fenced: ['back'],
  back: ['fenced', 'ready', 'draining'],
};

type Command = 'silence' | 'beat' | 'others-hear' | 'others-deaf' | 'watch' | 'hello' | 'step' | 'kill' | 'drain';
const COMMANDS: readonly Command[] = [
  ...(['silence', 'beat', 'others-hear', 'others-deaf', 'watch', 'watch', 'hello', 'kill', 'drain'] as const),
  ...(['step', 'step', 'step'] as const),
];

/** One server with everything around it, as far as its life concerns it. */
class Life {
  readonly store: Store;
  hears = true;
  isSilent = false;
  state: ServerState = 'ready';
  /** Its containers reach databases, by what agents there were told last. */
  admitted = true;
  hasSessions = true;
  isAtEdge = true;
  /** Its nodes were made anew elsewhere, and its old ones are still on it. */
  madeAnew = false;
  wasDraining = false;
  running:
    | { kind: OperationKind<{ server: string; why: string }>; at: number; outputs: Record<string, Json> }
    | undefined;
  readonly kinds: ReadonlyMap<string, OperationKind<{ server: string; why: string }>>;
  readonly parts: FenceParts & CleanParts & WatchParts;

  constructor(store: Store) {
    this.store = store;
    const clock = makeSystemClock();
    const tell = async () => {
      const tunnel = await store.transaction(async (sql) =>
        (await readTunnels(sql, network, await listServers(sql)))('s1'),
      );
      this.admitted = tunnel?.peers.some(({ server }) => server === NAME) ?? true;
      return null;
    };
    const agents: AgentPort = {
      connected: () => ['s1', 's3', ...(this.isSilent ? [] : [NAME])],
      async call(_server, method) {
        if (method === 'server.fence') await tell();
        return null as never;
      },
    };
    const operations = {
      list: async () => ({ items: this.running === undefined ? [] : [{ state: 'running' }], nextPageToken: null }),
      start: async (_: unknown, kind: string) => {
        const made = this.kinds.get(kind);
        assert.ok(made !== undefined);
        this.running = { kind: made, at: 0, outputs: {} };
        return {} as Operation;
      },
    } as unknown as Operations;
    this.parts = {
      ...{ store, operations, agents, clock, events: makeEvents({ store, clock }) },
      witnesses: {
        note: () => undefined,
        refuse: () => undefined,
        ask: () => (this.hears ? { hear: ['s3'], deaf: [] } : { hear: [], deaf: ['s1', 's3'] }),
      },
      hearing: { behindMs: () => 0 },
      readLeadingServer: async (sql) => (await readCluster(sql))?.server,
      readOffline: async () => new Set(),
      noteReady: () => undefined,
      dropAgent: () => undefined,
      takeOut: async () => {
        this.isAtEdge = false;
      },
      listCarriers: async () => [{ server: 's1', what: 'the database server db1' }],
      endSessions: async () => {
        assert.equal(this.admitted, false, 'a session that is ended must not come back');
        this.hasSessions = false;
        return [];
      },
      syncEdges: async () => null,
      abandon: async () => {
        assert.deepEqual([this.admitted, this.hasSessions, this.isAtEdge], [false, false, false], 'made anew unfenced');
        this.madeAnew = true;
        return { nodes: [], left: [] };
      },
      removeLeftovers: async () => {
        this.madeAnew = false;
        return [];
      },
      takeIn: async () => {
        assert.equal(this.madeAnew, false, 'it serves beside what was made anew');
        this.isAtEdge = true;
      },
      wakeHeal: () => undefined,
    };
    this.kinds = new Map([makeServerFence(this.parts), makeServerClean(this.parts)].map((kind) => [kind.kind, kind]));
  }

  /** Does a step; `stored` false: the controller is killed before it has stored that. */
  async step(stored: boolean): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    const step = running.kind.steps({ server: NAME, why: 'the test says so' })[running.at];
    assert.ok(step !== undefined);
    const context: StepContext = {
      ...{ operationId: 'op', outputs: running.outputs, say: () => undefined },
      signal: AbortSignal.timeout(5_000),
    };
    const output = await step.do(context);
    if (!stored) return;
    running.outputs[step.name] = output ?? null;
    running.at += 1;
    if (running.at === running.kind.steps({ server: NAME, why: '' }).length) this.running = undefined;
  }

  async silence(seconds: number): Promise<void> {
    this.isSilent = seconds > 0;
    const text = 'UPDATE server SET heartbeat_at = now() - make_interval(secs => $2) WHERE name = $1';
    await this.store.query(text, [NAME, seconds]);
  }

  async run(command: Command): Promise<void> {
    const { store, parts } = this;
    switch (command) {
      case 'silence':
        return await this.silence(11);
      case 'beat':
        if ((await storeHeartbeats(store, [{ server: NAME, load: LOAD }])).has(NAME)) this.isSilent = false;
        return;
      case 'others-hear':
      case 'others-deaf':
        this.hears = command === 'others-hear';
        return;
      case 'watch':
        return void (await watchServers(parts, AbortSignal.timeout(5_000)));
      case 'hello':
        this.isSilent = false;
        return await welcomeAgent(store, parts.events, { server: NAME, protocol: 2, version: '', address: '' }).catch(
          (thrown: { code?: string }) => assert.equal(thrown.code, 'server.being-fenced'),
        );
      case 'drain':
        return void (await storeDraining(store, NAME, 'a person wants it empty', 'a person wants it empty'));
      case 'step':
      case 'kill':
        return await this.step(command === 'step');
    }
  }

  async check(command: Command): Promise<void> {
    const server = await readServer(this.store, NAME);
    assert.ok(server !== undefined);
    const { state } = server;
    const may = state === this.state || FOLLOWS[this.state].includes(state);
    assert.ok(may, `${command} brought it from ${this.state} to ${state}`);
    if (this.wasDraining) assert.notEqual(state, 'ready', 'a person drained it');
    if (state === 'draining') this.wasDraining = true;
    if (this.madeAnew) assert.ok(isApart(state), `${state} while its nodes are elsewhere`);
    if (state === 'ready' || state === 'draining') assert.equal(this.madeAnew, false);
    // Once it is let in again it may reach what it reached before.
    if (!isApart(state)) Object.assign(this, { admitted: true, hasSessions: true });
    this.state = state;
  }
}

withStores((test, engine) => {
  test('nothing of a server is made anew before it is fenced, and it serves again only clean', async ({ store }) => {
    await storeCluster(store, { server: 's1', address: '', port: 1, contentPath: null, contentId: null });
    const orders = fc.array(fc.constantFrom(...COMMANDS), { minLength: 10, maxLength: 60 });
    let fenced = 0;
    let returned = 0;
    await fc.assert(
      fc.asyncProperty(orders, async (commands) => {
        await store.query('DELETE FROM server');
        await store.query(
          `INSERT INTO server (name, state, reason, address, version, heartbeat_at)
           SELECT name, 'ready', '', '', '', now() FROM unnest(ARRAY['s1', 's2', 's3']) AS name`,
        );
        const life = new Life(store);
        let wasApart = false;
        for (const command of commands) {
          await store.query(`UPDATE server SET heartbeat_at = now() WHERE name <> $1`, [NAME]);
          await life.run(command);
          await life.check(command);
          if (!wasApart && isApart(life.state)) fenced += 1;
          if (wasApart && !isApart(life.state)) returned += 1;
          wasApart = isApart(life.state);
        }
      }),
      { numRuns: engine === 'pglite' ? 60 : 30 },
    );
    assert.ok(fenced > 0, 'no order fenced it');
    assert.ok(returned >= 0);
  });

  test('a server that was fenced and comes back serves in the end, whatever happened meanwhile', async ({ store }) => {
    await storeCluster(store, { server: 's1', address: '', port: 1, contentPath: null, contentId: null });
    await store.query(
      `INSERT INTO server (name, state, reason, address, version, heartbeat_at)
       SELECT name, 'ready', '', '', '', now() FROM unnest(ARRAY['s1', 's2', 's3']) AS name`,
    );
    const life = new Life(store);
    const path: Command[] = [
      'others-deaf',
      'silence',
      'watch',
      'watch',
      'kill',
      'step',
      'step',
      'kill',
      'step',
      'step',
    ];
    // A hello in the middle of fencing is refused, and the fence goes on.
    for (const command of [
      ...path,
      'hello',
      'step',
      'others-hear',
      'hello',
      'watch',
      'kill',
      'step',
      'step',
      'step',
    ] as const) {
      await store.query(`UPDATE server SET heartbeat_at = now() WHERE name <> $1`, [NAME]);
      await life.run(command);
      await life.check(command);
    }
    assert.deepEqual([life.state, life.madeAnew, life.isAtEdge], ['ready', false, true]);
  });
});
