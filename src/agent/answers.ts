// What the agent answers to the controller. Only puts the parts together; each part does its own thing.
import type { Fleet } from '../engines/fleet.ts';
import { commonProblems } from '../lib/errors.ts';
import type { AgentContract } from '../protocol/contract.ts';
import type { Answers } from '../protocol/peer.ts';
import type { FirewallKeeper } from './firewall.ts';
import type { EdgeFollower } from './follow-edges.ts';
import type { PoolFollower } from './follow-pools.ts';
import type { ServerFollower } from './follow-server.ts';
import { describeHost, rebootHost, upgradeHost } from './host.ts';
import { get, probe } from './probe.ts';
import type { Runs } from './runs/runs.ts';
import { makeContent, removeContent } from './shared-content.ts';
import type { TunnelKeeper } from './tunnel.ts';

const PROBE_TIMEOUT_MS = 10_000;
/** Of a page so much is compared. */
const PAGE_BYTES = 256 * 1024;
/** What a site's command may say, of each stream. */
const OUTPUT_KEPT_BYTES = 64 * 1024;
/** A call's own deadline aborts its signal; this only bounds the engine when that were ever longer. */
const EXEC_MOST_MS = 3_600_000;
const SITE_ID = /^s[a-z0-9]{9}$/;

/** Makes the answers. */
export function makeAgentAnswers(parts: {
  fleet: Fleet;
  pools: PoolFollower;
  edges: EdgeFollower;
  server: ServerFollower;
  runs: Runs;
  tunnel: TunnelKeeper;
  firewall: FirewallKeeper;
}): Answers<AgentContract> {
  const { fleet, pools, edges, server, runs, tunnel, firewall } = parts;
  const assertSite = (site: string) => {
    if (!SITE_ID.test(site)) throw commonProblems.make('invalid-input', { where: 'site', why: 'it is not a site id' });
  };
  return {
    'pool.prepare': async ({ pool, content }) => {
      if (content !== undefined) await makeContent(content);
      return await pools.prepare(pool);
    },
    'pool.discard': async ({ content }) => {
      await removeContent(content);
      return null;
    },
    'pool.sync': ({ pool }) => pools.sync(pool),
    'pool.forget': async ({ pool }) => {
      await pools.forget(pool);
      return null;
    },
    'edge.prepare': ({ edge }) => edges.prepare(edge),
    'edge.sync': () => edges.sync(),
    'edge.forget': async ({ edge }) => {
      await edges.forget(edge);
      return null;
    },
    'edge.under-way': async ({ site }, signal) => ({ requests: await edges.countUnderWay(site, signal) }),
    'edge.traffic': async ({ pool }, signal) => ({ nodes: await edges.readTraffic(pool, signal) }),
    'node.probe': async (target, signal) => {
      const begunMs = performance.now();
      const answer = await probe(target, PROBE_TIMEOUT_MS, signal);
      return { ...answer, durationMs: performance.now() - begunMs };
    },
    'node.read-page': async (target, signal) => {
      const { status, location, body, detail } = await get(target, PROBE_TIMEOUT_MS, signal);
      return { status, location, body: body.subarray(0, PAGE_BYTES).toString('utf8'), detail };
    },
    'site.exec': async ({ node, site, argv, stdin }, signal) => {
      assertSite(site);
      const { code, stdout, stderr } = await fleet.exec(node, ['/usr/lib/espalier/site-exec', site, '--', ...argv], {
        signal,
        timeoutMs: EXEC_MOST_MS,
        maxOutputBytes: OUTPUT_KEPT_BYTES,
        ...(stdin === undefined ? {} : { stdin }),
      });
      return { code, stdout, stderr };
    },
    'site.remove-content': async ({ node, site }, signal) => {
      assertSite(site);
      const argv = ['rm', '--recursive', '--force', '--one-file-system', `/srv/content/${site}`];
      const { code, stderr } = await fleet.exec(node, argv, { signal, timeoutMs: EXEC_MOST_MS });
      if (code !== 0)
        throw commonProblems.make('internal', { what: `rm ended with ${code}: ${stderr.trim().slice(-300)}` });
      return null;
    },
    'runs.start': (order) => runs.start(order),
    'runs.cancel': async ({ ids }) => {
      runs.cancel(ids);
      return null;
    },
    'runs.follow': (about, signal) => runs.follow(about, signal),
    'server.describe': () => describeHost(),
    'server.upgrade': (_, signal) => upgradeHost(signal),
    'server.reboot': ({ boot }, signal) => rebootHost(boot, signal),
    'firewall.show': async () => {
      await firewall.keep();
      return firewall.state();
    },
    'server.sync': async () => {
      await server.sync();
      await firewall.settled();
      return null;
    },
    'server.fence': async ({ servers }) => {
      const { tunnel: wanted } = await server.sync();
      const peer = wanted?.peers.find((one) => servers.includes(one.server));
      if (peer !== undefined)
        throw commonProblems.make('internal', {
          what: `the controller counts ${peer.server} as a peer, and wants it fenced`,
        });
      await tunnel.applied();
      return null;
    },
  };
}
