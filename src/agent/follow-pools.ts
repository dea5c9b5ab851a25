// Brings every node on this server to what the controller says of its pool's sites. Wrong is: a pool's directory is older
// than the controller's version, or a node has not applied what its directory holds. One sync of a pool at a time;
// calls that come meanwhile share the next one, so that fifty new sites cost few rounds.
import { join } from 'node:path';
import type { Fleet } from '../engines/fleet.ts';
import { toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { AgentContract, AgentNode, ControllerContract } from '../protocol/contract.ts';
import type { Peer, ResultOf } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';
import { makePoolDirectory, type PoolDirectory } from './pool-directory.ts';

const READ_TIMEOUT_MS = 10_000;
const APPLY_TIMEOUT_MS = 30_000;

export type PoolSynced = ResultOf<AgentContract, 'pool.sync'>;

export interface PoolFollower {
  /** Makes the pool's directory; gives the path that its nodes mount. */
  prepare(pool: string): Promise<{ configDir: string }>;
  /** Replaces the list of nodes on this server. */
  setNodes(nodes: readonly AgentNode[], trustedProxies: readonly string[]): void;
  /** Reads what changed and applies it in every node; what is asked for while one runs waits for the next. */
  sync(pool: string): Promise<PoolSynced>;
  /** Syncs all pools that have nodes here; a failing one is logged and does not hold up the others. */
  syncAll(): Promise<void>;
  forget(pool: string): Promise<void>;
}

interface Followed {
  directory: PoolDirectory;
  /** What each node must still apply: site ids, or all. A node that is not named here has to apply all. */
  owed: Map<string, Set<string> | 'all'>;
  running: Promise<PoolSynced> | undefined;
  next: Promise<PoolSynced> | undefined;
}

/** `poolsDir`: the folder that holds one folder for each pool. */
export function makePoolFollower(parts: {
  poolsDir: string;
  fleet: Fleet;
  controller: () => Peer<ControllerContract> | undefined;
  log: Logger;
}): PoolFollower {
  const { poolsDir, fleet, controller, log } = parts;
  const pools = new Map<string, Followed>();
  let nodes: readonly AgentNode[] = [];
  let proxies: readonly string[] = [];

  function followed(pool: string): Followed {
    const known = pools.get(pool);
    if (known !== undefined) return known;
    const made: Followed = {
      directory: makePoolDirectory(join(poolsDir, pool)),
      owed: new Map(),
      running: undefined,
      next: undefined,
    };
    pools.set(pool, made);
    return made;
  }

  async function syncOnce(pool: string): Promise<PoolSynced> {
    const { directory, owed } = followed(pool);
    const peer = controller();
    if (peer === undefined) throw protocolProblems.make('disconnected', { name: 'controller' });
    await directory.prepare();
    const since = await directory.readVersion();
    const news = await peer.call('config.pool', { pool, since }, { timeoutMs: READ_TIMEOUT_MS });
    const mine = nodes.filter((node) => node.pool === pool);
    if (await directory.writeProxies(proxies)) for (const node of mine) owed.set(node.name, 'all');
    const { removed } = await directory.write(news);
    const touched = [...news.changed.map((document) => document.site), ...removed];
    for (const node of mine) {
      const owes = owed.get(node.name) ?? 'all';
      owed.set(node.name, owes === 'all' ? 'all' : new Set([...owes, ...touched]));
    }
    for (const name of owed.keys()) if (!mine.some((node) => node.name === name)) owed.delete(name);
    return { version: news.version, nodes: await Promise.all(mine.map((node) => applyIn(node, owed))) };
  }

  async function applyIn(node: AgentNode, owed: Followed['owed']): Promise<PoolSynced['nodes'][number]> {
    const owes = owed.get(node.name) ?? 'all';
    if (owes !== 'all' && owes.size === 0) return { node: node.name, applied: true, detail: 'nothing new' };
    const argv = ['/usr/lib/espalier/apply', ...(owes === 'all' ? [] : owes)];
    try {
      const result = await fleet.exec(node.name, argv, { timeoutMs: APPLY_TIMEOUT_MS });
      const detail = `${result.stdout}${result.stderr}`.trim().slice(-2_000);
      if (result.code === 0) owed.set(node.name, new Set());
      else log.warn({ node: node.name, code: result.code, detail }, 'a node could not apply its configuration');
      return { node: node.name, applied: result.code === 0, detail: detail || `exit code ${result.code}` };
    } catch (thrown) {
      const problem = toProblem(thrown);
      return { node: node.name, applied: false, detail: problem.document.detail };
    }
  }

  function sync(pool: string): Promise<PoolSynced> {
    const state = followed(pool);
    if (state.next !== undefined) return state.next;
    if (state.running !== undefined) {
      state.next = state.running.then(
        () => start(pool),
        () => start(pool),
      );
      return state.next;
    }
    return start(pool);
  }

  function start(pool: string): Promise<PoolSynced> {
    const state = followed(pool);
    state.next = undefined;
    const running = syncOnce(pool).finally(() => {
      if (state.running === running) state.running = undefined;
    });
    state.running = running;
    return running;
  }

  return {
    async prepare(pool) {
      const { directory } = followed(pool);
      await directory.prepare();
      return { configDir: directory.configDir };
    },
    setNodes(next, trustedProxies) {
      nodes = next;
      proxies = trustedProxies;
    },
    sync,
    async syncAll() {
      for (const pool of new Set(nodes.map((node) => node.pool))) {
        await sync(pool).catch((thrown: unknown) => log.warn({ pool, err: thrown }, 'a pool could not be synced'));
      }
    },
    async forget(pool) {
      await followed(pool).directory.remove();
      pools.delete(pool);
    },
  };
}
