// An engine or agent that goes away in the middle: the operation says what it waits for, and goes on when that is back.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { mariadbProblems } from '../../src/engines/mariadb/problems.ts';
import { valkeyProblems } from '../../src/engines/valkey/problems.ts';
import type { OperationView } from '../../src/platform/operations/operation.ts';
import { startNode } from '../../src/pools/start-nodes.ts';
import { newSiteSchema, startSiteCreate } from '../../src/sites/admit.ts';
import { assertConsistent } from './consistency.ts';
import { makeDeployedWorld, tester, type World } from './world.ts';

/** What goes away at a step of an operation, and how it comes back. */
interface Absence {
  what: string;
  kind: 'site.create' | 'node.create';
  step: string;
  code: string;
  detail: RegExp;
  leave(world: World): void;
  comeBack(world: World): Promise<void>;
}

const agentsOf = (world: World) => world.controller.rooms.simulatedAgents;
const databaseOf = (world: World) => world.databases.get('database-db1');
const cacheOf = (world: World) => world.caches.get('cache-cache1');

const agentAway = {
  what: 'the agent',
  code: 'protocol.disconnected',
  detail: /agent on local is not connected/,
  leave: (world: World) => agentsOf(world)?.setConnected('local', false),
  async comeBack(world: World) {
    agentsOf(world)?.setConnected('local', true);
    await world.beat();
  },
};
const fleetAway = {
  what: 'Incus',
  code: 'incus.away',
  detail: /it was told to be away/,
  leave: (world: World) => world.fleet.faults.setAway(true),
  async comeBack(world: World) {
    world.fleet.faults.setAway(false);
    await world.beat();
  },
};

const absences: Absence[] = [
  { ...agentAway, kind: 'site.create', step: 'configure' },
  { ...agentAway, kind: 'site.create', step: 'check' },
  { ...agentAway, kind: 'node.create', step: 'container' },
  { ...fleetAway, kind: 'node.create', step: 'container' },
  {
    what: 'the database server',
    kind: 'site.create',
    step: 'accounts',
    code: 'mariadb.away',
    detail: /its container is stopped/,
    leave: (world) =>
      databaseOf(world)?.faults.setAway(() =>
        mariadbProblems.make('away', { server: 'db1', why: 'its container is stopped' }),
      ),
    comeBack: async (world) => databaseOf(world)?.faults.setAway(undefined),
  },
  {
    what: 'the cache server',
    kind: 'site.create',
    step: 'accounts',
    code: 'valkey.away',
    detail: /its container is stopped/,
    leave: (world) =>
      cacheOf(world)?.faults.setAway(() =>
        valkeyProblems.make('away', { server: 'cache1', why: 'its container is stopped' }),
      ),
    comeBack: async (world) => cacheOf(world)?.faults.setAway(undefined),
  },
];

void describe('what goes away is waited for', () => {
  let world: World;
  let number = 0;
  before(async () => {
    world = await makeDeployedWorld();
  });
  after(() => world.close());

  const begin = (kind: Absence['kind']) =>
    world.begin((sql, { rooms }) => {
      number += 1;
      const { pools, sites } = rooms.parts;
      if (kind === 'node.create') return startNode(pools, sql, { pool: 'wordpress', imageNumber: 1 }, tester);
      const wish = newSiteSchema.parse({ name: `s-${number}`, app: 'wordpress', hosts: [`s-${number}.example`] });
      return startSiteCreate(sites, sql, wish, tester);
    });

  for (const absence of absences) {
    for (const isKilled of [false, true]) {
      const meanwhile = isKilled ? ', also when the controller is killed meanwhile' : '';
      void it(`${absence.what} away at ${absence.step} of ${absence.kind}${meanwhile}`, async () => {
        world.onPoint = (point) => {
          if (point.kind !== absence.kind || point.step !== absence.step || point.when !== 'before-do') return;
          world.onPoint = () => undefined;
          absence.leave(world);
        };
        const { id } = await begin(absence.kind);
        if (isKilled) {
          await world.waiting();
          world.kill();
          await world.start();
        }
        const waits = await world.waiting();
        assert.equal(waits.id, id);
        assert.equal(waits.state, 'running');
        assert.equal(waits.waiting?.step, absence.step);
        const { code, detail } = waits.waiting.problem;
        // The agents' twins learn from Incus which servers there are.
        const isSilenced = isKilled && absence.code === 'incus.away' && code === 'protocol.disconnected';
        if (!isSilenced) {
          assert.equal(code, absence.code);
          assert.match(detail, absence.detail);
        }
        await absence.comeBack(world);
        const view: OperationView = await world.ended(id);
        assert.equal(view.state, 'succeeded', view.problem?.detail);
        assert.equal(view.waiting, null);
        await assertConsistent(world);
      });
    }
  }
});
