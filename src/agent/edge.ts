// Brings one HAProxy to what an edge document says. Level-triggered: it is never told what changed, it reads what runs,
// computes the difference and gives the commands. Files come first, so that HAProxy started anew at any moment, by
// itself and with the agent and the controller away, serves what was last asked for.
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { renderConfig } from '../engines/haproxy/config.ts';
import { renderHold } from '../engines/haproxy/hold.ts';
import { diffMap, parseShowMap, renderHostsMap, renderWholeMap } from '../engines/haproxy/hosts-map.ts';
import { edgeDir, edgeFiles, type ProxyPool } from '../engines/haproxy/layout.ts';
import { renderPages } from '../engines/haproxy/pages.ts';
import { haproxyProblems } from '../engines/haproxy/problems.ts';
import { openRuntime, type RuntimeSession, runCommands, runReload } from '../engines/haproxy/runtime.ts';
import { diffServers, parseServersState, renderServersState } from '../engines/haproxy/servers.ts';
import { type EdgeStats, readEdgeStats, readUnderWay } from '../engines/haproxy/stats.ts';
import type { Clock } from '../lib/clock.ts';
import { Problem, type ProblemDocument, toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type EdgeApplied, type EdgeDocument, edgeDocument } from '../protocol/edge-document.ts';
import { makeEdgeFiles } from './edge-files.ts';

/** How the last application went; empty before the first one. */
export interface EdgeStatus {
  applied?: EdgeApplied;
  appliedAtMs?: number;
  /** Why the last one did not succeed; absent when it did. */
  problem?: ProblemDocument;
}

export interface EdgeApplier {
  /** Makes the directory with a configuration that serves nothing yet, so that the container can start. Repeatable. */
  prepare(): Promise<void>;
  /**
   * Brings HAProxy to the document; one at a time, in the order of the calls. Throws `haproxy.away` (retryable) when it
   * does not run: the files are then written and it starts from them. Throws `haproxy.bad-config` when it cannot load a
   * changed structure: it keeps the last good one, in which hosts and servers are up to date.
   */
  apply(document: EdgeDocument, signal: AbortSignal): Promise<EdgeApplied>;
  /** The document that was applied last, from disk; undefined when there was none. */
  readLast(): Promise<EdgeDocument | undefined>;
  /** Applies the last document again and again until the signal aborts: what was changed behind its back is put right. */
  keep(signal: AbortSignal): Promise<void>;
  status(): EdgeStatus;
  /** What HAProxy counted since it was loaded. */
  readStats(signal: AbortSignal): Promise<EdgeStats>;
  /** Loads it anew: connections that are open end after the answers that they wait for. */
  renew(signal: AbortSignal): Promise<void>;
  /** Requests of a site under way, without those that wait because it is held. */
  countUnderWay(site: string, signal: AbortSignal): Promise<number>;
}

const EXCHANGE_TIMEOUT_MS = 5_000;
const RELOAD_TIMEOUT_MS = 20_000;
/** For HAProxy to hand its socket from the old worker to the new one. */
const HANDOVER_TRIES = 40;
const HANDOVER_WAIT_MS = 25;
const KEEP_EVERY_MS = 10_000;
const KEEP_AGAIN_MS = 1_000;
const MAP_PATH = `${edgeDir}/${edgeFiles.hostsMap}`;
const NO_SERVERS_STATE = '1\n';

function readStructure(config: string | undefined): string | undefined {
  return config?.match(/^ {4}description (\S+)$/m)?.[1];
}

/** `dir`: the host directory mounted at /etc/espalier-edge; `socketPath`: its runtime socket when it is elsewhere. */
export function makeEdgeApplier(parts: { dir: string; socketPath?: string; log: Logger; clock: Clock }): EdgeApplier {
  const { dir, log, clock } = parts;
  const socketPath = parts.socketPath ?? join(dir, edgeFiles.adminSocket);
  const masterPath = join(dir, edgeFiles.masterSocket);
  const files = makeEdgeFiles(dir);
  let turn: Promise<unknown> = Promise.resolve();
  let status: EdgeStatus = {};

  /** HAProxy must not be asked for statistics while a server is deleted, so everything takes turns. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work, work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  const open = (signal: AbortSignal) => openRuntime(socketPath, { signal, timeoutMs: EXCHANGE_TIMEOUT_MS });

  async function askStructure(session: RuntimeSession): Promise<string | undefined> {
    const [info = ''] = await session.ask(['show info']);
    return info.match(/^description: (\S+)$/m)?.[1];
  }

  async function renderFiles(document: EdgeDocument): Promise<{ text: string; structure: string }> {
    await files.prepare();
    const hash = createHash('sha256');
    for (const [name, text] of renderPages()) {
      hash.update(text);
      await files.write(join(edgeFiles.pages, name), text);
    }
    await files.write(edgeFiles.hold, renderHold());
    return renderConfig(document, {
      ...{ certificates: await files.readCertificates(), pages: hash.digest('hex') },
      // Its directory has its name.
      self: basename(dir),
    });
  }

  /** Loads a new structure. The servers' health is handed over by a file that is empty at all other times. */
  async function reload(session: RuntimeSession, wanted: { text: string; structure: string }, signal: AbortSignal) {
    const before = await files.read(edgeFiles.config);
    const running = await askStructure(session);
    if (before !== undefined && readStructure(before) === running) await files.write(edgeFiles.lastConfig, before);
    const [serversState = ''] = await session.ask(['show servers state']);
    await files.write(edgeFiles.serversState, renderServersState(serversState));
    await files.write(edgeFiles.config, wanted.text);
    try {
      await runReload(masterPath, { signal, timeoutMs: RELOAD_TIMEOUT_MS });
    } catch (error) {
      const good = (await files.read(edgeFiles.lastConfig)) ?? before;
      if (good !== undefined && error instanceof Problem && error.code === 'haproxy.bad-config') {
        await files.write(edgeFiles.config, good);
      }
      throw error;
    } finally {
      await files.write(edgeFiles.serversState, NO_SERVERS_STATE);
    }
  }

  /** A session with the worker that runs `structure`; for a moment after a reload the old one may still answer. */
  async function openReloaded(structure: string, signal: AbortSignal): Promise<RuntimeSession> {
    for (let left = HANDOVER_TRIES; left > 0; left--) {
      const session = await open(signal);
      if ((await askStructure(session)) === structure) return session;
      session.close();
      await clock.wait(HANDOVER_WAIT_MS, signal);
    }
    const what = 'The handover to the new worker';
    throw haproxyProblems.make('slow', { socket: socketPath, what, timeoutMs: HANDOVER_TRIES * HANDOVER_WAIT_MS });
  }

  /** The difference between what runs and the document, made up for by commands. */
  async function runDifference(session: RuntimeSession, document: EdgeDocument, pools: readonly ProxyPool[]) {
    const [serversState = '', map = ''] = await session.ask(['show servers state', `show map ${MAP_PATH}`]);
    const servers = diffServers(pools, parseServersState(serversState));
    const hosts = diffMap(MAP_PATH, document.hosts, parseShowMap(map));
    let commands = hosts.commands;
    if (hosts.whole) {
      const [version = ''] = await session.ask([`prepare map ${MAP_PATH}`]);
      commands = renderWholeMap(MAP_PATH, version.replace(/^\D+/, ''), document.hosts);
    }
    const leaving = await runCommands(session, [...servers.additions, ...commands, ...servers.removals]);
    return {
      serversAdded: servers.added,
      serversChanged: servers.changed,
      serversRemoved: servers.removed - leaving.length,
      serversLeaving: leaving,
      mapEntriesChanged: hosts.changed,
    };
  }

  async function listRunningPools(session: RuntimeSession, pools: readonly ProxyPool[]): Promise<ProxyPool[]> {
    const [answer = ''] = await session.ask(['show backend']);
    const running = new Set(answer.split('\n'));
    return pools.filter((pool) => running.has(pool.name));
  }

  async function applyOnce(document: EdgeDocument, signal: AbortSignal): Promise<EdgeApplied> {
    const startedMs = clock.monotonicMs();
    const wanted = await renderFiles(document);
    await files.write(edgeFiles.hostsMap, renderHostsMap(document.hosts));
    await files.write(edgeFiles.document, JSON.stringify(document));
    let session = await open(signal).catch(async (away: unknown) => {
      await files.write(edgeFiles.config, wanted.text);
      throw away;
    });
    try {
      const reloaded = (await askStructure(session)) !== wanted.structure;
      let badConfig: unknown;
      if (reloaded) {
        try {
          await reload(session, wanted, signal);
          session.close();
          session = await openReloaded(wanted.structure, signal);
        } catch (error) {
          if (!(error instanceof Problem) || error.code !== 'haproxy.bad-config') throw error;
          badConfig = error;
        }
      } else {
        await files.write(edgeFiles.config, wanted.text);
      }
      const pools = badConfig === undefined ? document.pools : await listRunningPools(session, document.pools);
      const difference = await runDifference(session, document, pools);
      if (badConfig !== undefined) throw badConfig;
      return { version: document.version, reloaded, ...difference, durationMs: clock.monotonicMs() - startedMs };
    } finally {
      session.close();
    }
  }

  async function apply(document: EdgeDocument, signal: AbortSignal): Promise<EdgeApplied> {
    try {
      const applied = await applyOnce(document, signal);
      status = { applied, appliedAtMs: clock.nowMs() };
      const changes =
        applied.serversAdded + applied.serversChanged + applied.serversRemoved + applied.mapEntriesChanged;
      if (applied.reloaded || changes > 0) log.info({ edge: applied }, 'the edge was changed');
      return applied;
    } catch (error) {
      const problem = toProblem(error).document;
      if (!signal.aborted) {
        status = { ...status, problem };
        log.warn({ problem }, 'the edge could not be brought to what it should be');
      }
      throw error;
    }
  }

  /** Who is up and who is down, for HAProxy that starts anew without us: it need not find out by visitors' requests. */
  async function keepState(signal: AbortSignal): Promise<void> {
    const session = await open(signal);
    try {
      const [serversState = ''] = await session.ask(['show servers state']);
      await files.write(edgeFiles.serversState, renderServersState(serversState));
    } finally {
      session.close();
    }
  }

  async function readLast(): Promise<EdgeDocument | undefined> {
    const text = await files.read(edgeFiles.document);
    return text === undefined ? undefined : edgeDocument.parse(JSON.parse(text));
  }

  return {
    async prepare() {
      await files.prepare();
      if ((await files.read(edgeFiles.config)) !== undefined) return;
      await inTurn(async () => {
        await files.write(edgeFiles.serversState, NO_SERVERS_STATE);
        await files.write(edgeFiles.hostsMap, '');
        const empty: EdgeDocument = { version: 0, trustedProxies: [], pools: [], hosts: [] };
        await files.write(edgeFiles.config, (await renderFiles(empty)).text);
      });
    },
    apply: (document, signal) => inTurn(() => apply(document, signal)),
    readLast,
    async keep(signal) {
      while (!signal.aborted) {
        const settled = await inTurn(async () => {
          const last = await readLast();
          if (last === undefined) return true;
          const { serversLeaving } = await apply(last, signal);
          await keepState(signal);
          return serversLeaving.length === 0;
        }).catch(() => false);
        await clock.wait(settled ? KEEP_EVERY_MS : KEEP_AGAIN_MS, signal).catch(() => undefined);
      }
    },
    renew: (signal) =>
      inTurn(async () => {
        const last = await readLast();
        if (last === undefined) return;
        const wanted = await renderFiles(last);
        const session = await open(signal);
        await reload(session, wanted, signal).finally(() => session.close());
      }),
    status: () => status,
    countUnderWay: (site, signal) =>
      inTurn(async () => {
        const session = await open(signal);
        return await readUnderWay(session, site).finally(() => session.close());
      }),
    readStats: (signal) =>
      inTurn(async () => {
        const session = await open(signal);
        return await readEdgeStats(session).finally(() => session.close());
      }),
  };
}
