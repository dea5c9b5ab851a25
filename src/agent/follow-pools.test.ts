// What is asked of the controller and run in the nodes when a pool's sites change, over a simulated fleet and real folders.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { makeSimulatedFleet } from '../engines/simulated/fleet.ts';
import { makeSilentLogger } from '../lib/log.ts';
import type { AgentNode, ControllerContract } from '../protocol/contract.ts';
import type { Peer } from '../protocol/peer.ts';
import type { SiteDocument } from '../protocol/site-document.ts';
import { makePoolFollower } from './follow-pools.ts';

const node = (name: string): AgentNode => ({ name, pool: 'p', address: '10.0.0.9', wanted: true });

function makeDocument(site: string, version: number): SiteDocument {
  return {
    ...{ site, version, name: site, app: 'tiny', uid: 20_000 + site.charCodeAt(1), state: 'ready', title: 'T' },
    ...{ hosts: [`${site}.example`], primaryHost: `${site}.example`, url: `http://${site}.example` },
    ...{ secrets: {}, settings: {} },
    database: { host: 'd', port: 1, name: site, user: site, password: 'p' },
    cache: { host: 'c', port: 1, user: site, password: 'p', prefix: `${site}:` },
    limits: {
      ...{ phpWorkers: 1, phpMemoryMb: 64, requestTimeoutS: 30, uploadMb: 8, requestsPerS: 1 },
      ...{ connections: 1, databaseConnections: 1, statementTimeS: 1 },
    },
  };
}

const isRoot = process.getuid?.() === 0;

void describe('a pool is followed', { skip: isRoot ? false : 'only root may give files away' }, () => {
  const dirs: string[] = [];
  after(() => Promise.all(dirs.map((dir) => rm(dir, { recursive: true }))));

  async function makeTrial() {
    const poolsDir = await mkdtemp(join(tmpdir(), 'espalier-follow-'));
    dirs.push(poolsDir);
    /** Commands that ran in nodes: `NODE: SITES`. */
    const ran: string[] = [];
    const failing = new Set<string>();
    const fleet = makeSimulatedFleet({
      place: { project: 't', network: 't', storagePool: 't' },
      respond: (name, [, ...sites]) => {
        ran.push(`${name}: ${sites.join(' ') || 'all'}`);
        return failing.has(name) ? { code: 1, stderr: 'no space left' } : {};
      },
    });
    await fleet.setUp({ driver: 'btrfs' });
    await fleet.images.import({ unified: import.meta.filename }, { alias: 'i', labels: {} });
    for (const name of ['n1', 'n2']) {
      await fleet.instances.create({ name, source: { image: 'i' }, labels: {}, devices: {}, start: true });
    }
    const sites = new Map<string, SiteDocument>();
    const asked: number[] = [];
    let version = 0;
    let gate: Promise<void> = Promise.resolve();
    const controller = {
      async call(_method: string, { since }: { since: number }) {
        asked.push(since);
        const answer = {
          version,
          changed: [...sites.values()].filter((one) => one.version > since),
          present: [...sites.keys()],
        };
        await gate;
        return answer;
      },
    } as unknown as Peer<ControllerContract>;
    let isAway = false;
    const make = () => {
      const follower = makePoolFollower({
        poolsDir,
        fleet,
        controller: () => (isAway ? undefined : controller),
        log: makeSilentLogger(),
      });
      follower.setNodes([node('n1'), node('n2')], []);
      return follower;
    };
    return {
      make,
      ran: () => ran.splice(0).sort(),
      asked,
      failing,
      change(site: string, to: 'there' | 'gone' = 'there') {
        version += 1;
        if (to === 'gone') sites.delete(site);
        else sites.set(site, makeDocument(site, version));
      },
      setGate(next: Promise<void>) {
        gate = next;
      },
      setAway(away: boolean) {
        isAway = away;
      },
      fleet,
    };
  }

  void it('the first time everything is applied in every node, then only what changed, and nothing when nothing did', async () => {
    const trial = await makeTrial();
    const follower = trial.make();
    trial.change('saaaaaaaaa');
    const synced = await follower.sync('p');
    assert.deepEqual(synced, {
      version: 1,
      nodes: [
        { node: 'n1', applied: true, detail: 'exit code 0' },
        { node: 'n2', applied: true, detail: 'exit code 0' },
      ],
    });
    assert.deepEqual(trial.ran(), ['n1: all', 'n2: all']);
    trial.change('sbbbbbbbbb');
    trial.change('saaaaaaaaa', 'gone');
    await follower.sync('p');
    assert.deepEqual(trial.ran(), ['n1: sbbbbbbbbb saaaaaaaaa', 'n2: sbbbbbbbbb saaaaaaaaa']);
    assert.equal((await follower.sync('p')).nodes[0]?.detail, 'nothing new');
    assert.deepEqual(trial.ran(), []);
    assert.deepEqual(trial.asked, [0, 1, 3]);
  });

  void it('a node that could not apply it tries again, with what came since', async () => {
    const trial = await makeTrial();
    const follower = trial.make();
    await follower.sync('p');
    trial.ran();
    trial.failing.add('n2');
    trial.change('saaaaaaaaa');
    const failed = (await follower.sync('p')).nodes[1];
    assert.deepEqual(failed, { node: 'n2', applied: false, detail: 'no space left' });
    trial.failing.clear();
    trial.change('sbbbbbbbbb');
    trial.ran();
    await follower.sync('p');
    assert.deepEqual(trial.ran(), ['n1: sbbbbbbbbb', 'n2: saaaaaaaaa sbbbbbbbbb']);
  });

  void it('a node that is stopped is told of, and does not hold up the other', async () => {
    const trial = await makeTrial();
    const follower = trial.make();
    trial.fleet.crash('n1');
    const [stopped, other] = (await follower.sync('p')).nodes;
    assert.equal(stopped?.applied, false);
    assert.match(stopped?.detail ?? '', /n1/);
    assert.equal(other?.applied, true);
  });

  void it('an agent that starts anew asks for what is newer than its directory, and applies all', async () => {
    const trial = await makeTrial();
    trial.change('saaaaaaaaa');
    await trial.make().sync('p');
    trial.ran();
    await trial.make().sync('p');
    assert.deepEqual(trial.ran(), ['n1: all', 'n2: all']);
    assert.deepEqual(trial.asked, [0, 1]);
  });

  void it('new proxies concern all sites', async () => {
    const trial = await makeTrial();
    const follower = trial.make();
    await follower.sync('p');
    trial.ran();
    follower.setNodes([node('n1'), node('n2')], ['10.0.0.5/32']);
    await follower.sync('p');
    assert.deepEqual(trial.ran(), ['n1: all', 'n2: all']);
  });

  void it('what is asked for while one sync runs shares the next, which reads anew', async () => {
    const trial = await makeTrial();
    const follower = trial.make();
    const gate = Promise.withResolvers<void>();
    trial.setGate(gate.promise);
    const first = follower.sync('p');
    trial.change('saaaaaaaaa');
    const others = Array.from({ length: 50 }, () => follower.sync('p'));
    gate.resolve();
    await first;
    const versions = new Set((await Promise.all(others)).map((synced) => synced.version));
    assert.deepEqual([...versions], [1]);
    assert.equal(trial.asked.length, 2);
  });

  void it('without the controller nothing changes, and it is said', async () => {
    const trial = await makeTrial();
    const follower = trial.make();
    trial.setAway(true);
    await assert.rejects(follower.sync('p'), { code: 'protocol.disconnected', retryable: true });
    await follower.syncAll();
    assert.deepEqual(trial.ran(), []);
    trial.setAway(false);
    assert.equal((await follower.sync('p')).nodes.length, 2);
  });
});
