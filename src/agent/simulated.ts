// The agents' simulated twin: every server of a simulated fleet has one, in the controller's own process. It reads the
// same documents as the real one and answers the same calls; what it would do in a node it only remembers.
import { randomUUID } from 'node:crypto';
import type { Fleet, FleetServer, Instance } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import { PROTOCOL_VERSION } from '../lib/version.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import type { AgentContract, ControllerContract, ServerDocument } from '../protocol/contract.ts';
import type { EdgeDocument } from '../protocol/edge-document.ts';
import type { Answers, ParamsOf, ResultOf } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';
import type { SiteDocument } from '../protocol/site-document.ts';
import { type AgentMemory, makeAgentMemory } from './simulated-memory.ts';
import { makeSimulatedRuns, type SimulatedRuns } from './simulated-runs.ts';

/** What the controller answers to the agent of one server. */
export type AskController = (server: string) => Answers<ControllerContract>;

export interface SimulatedAgents extends AgentPort {
  /** What a node would serve: the sites that it has applied. */
  sitesOn(node: string): readonly SiteDocument[];
  /** What the edges would serve. */
  edgeDocument(): EdgeDocument | undefined;
  /** Says hello for every server, then reports until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** One heartbeat of every server now. */
  beat(signal: AbortSignal): Promise<void>;
  /** Cuts a server's agent off, or brings it back. */
  setConnected(server: string, connected: boolean): void;
  /** What commands in sites answer from now on. */
  setExec(respond: (argv: readonly string[], site: string) => { code: number; stdout: string; stderr: string }): void;
}

/** All generations of a pool share its volume. */
const volumeOf = (key: string): string => key.split('.')[0] ?? key;

const HEARTBEAT_MS = 1_000;
/** Of what several share, so that none of them ends it. */
const TURN_MS = 20_000;
/** What a well node takes for a page, and how many requests an edge sends to each between two readings. */
const WELL_MS = 40;
const REQUESTS_A_READING = 50;

/** Makes the twins of all agents. */
export function makeSimulatedAgents(parts: {
  fleet: Fleet;
  ask: AskController;
  clock: Clock;
  memory?: AgentMemory | undefined;
}): SimulatedAgents {
  const { fleet, ask, clock, memory = makeAgentMemory() } = parts;
  const servers = new Set<string>();
  const documents = new Map<string, ServerDocument>();
  const turns = new Map<string, { running?: Promise<unknown> | undefined; next?: Promise<unknown> | undefined }>();
  const healthySince = new Map<string, number>();
  const deafSince = new Map<string, number>();

  const runs = new Map<string, SimulatedRuns>();
  function runsOn(server: string): SimulatedRuns {
    const known = runs.get(server) ?? makeSimulatedRuns(clock);
    runs.set(server, known);
    return known;
  }

  async function isRunning(node: string): Promise<boolean> {
    return (await fleet.instances.read(node).catch(() => undefined))?.status === 'running';
  }

  async function findByAddress(address: string): Promise<Instance | undefined> {
    return (await fleet.instances.list()).find(({ devices }) =>
      Object.values(devices).some((device) => device.kind === 'nic' && device.ipv4Address === address),
    );
  }

  function hostOf(server: string): { boot: string; wantsReboot: boolean } {
    const { boot, wantsReboot } = memory.hosts.get(server) ?? { boot: 'first', wantsReboot: false };
    return { boot, wantsReboot };
  }

  function prepare(directory: string): { configDir: string } {
    memory.directories.add(directory);
    return { configDir: `/simulated/${directory}` };
  }

  function forget(directory: string): null {
    memory.known.delete(directory);
    memory.directories.delete(directory);
    return null;
  }

  async function follow(server: string, signal: AbortSignal): Promise<ServerDocument> {
    const document = await ask(server)['config.server']({}, signal);
    documents.set(server, document);
    memory.peers.set(
      server,
      (document.tunnel?.peers ?? []).map((peer) => peer.server),
    );
    return document;
  }

  /** As the real agent: all that ask while one runs share the next one, which reads anew. */
  function oneAtATime<T>(key: string, work: (key: string, signal: AbortSignal) => Promise<T>): Promise<T> {
    const turn = turns.get(key) ?? {};
    turns.set(key, turn);
    if (turn.next !== undefined) return turn.next as Promise<T>;
    const begin = (): Promise<T> => {
      turn.next = undefined;
      const running = work(key, AbortSignal.timeout(TURN_MS)).finally(() => {
        if (turn.running === running) turn.running = undefined;
      });
      turn.running = running;
      return running;
    };
    if (turn.running === undefined) return begin();
    const next = turn.running.then(begin, begin);
    turn.next = next;
    return next;
  }

  async function syncPool(server: string, pool: string, key: string, signal: AbortSignal) {
    const before = memory.known.get(key);
    const news = await ask(server)['config.pool']({ pool, since: before?.version ?? 0 }, signal);
    const sites = new Map(before?.sites);
    for (const document of news.changed) sites.set(document.site, document);
    for (const site of sites.keys()) if (!news.present.includes(site)) sites.delete(site);
    memory.known.set(key, { version: news.version, sites });
    const mine = (documents.get(server)?.nodes ?? []).filter((node) => node.pool === pool);
    const nodes = await Promise.all(
      mine.map(async ({ name }) => {
        const running = await isRunning(name);
        if (running) {
          memory.applied.set(name, [...sites.values()]);
          for (const site of sites.keys()) memory.content.add(`${volumeOf(pool)}/${site}`);
        }
        return { node: name, applied: running, detail: running ? 'applied' : 'its container does not run' };
      }),
    );
    return { version: news.version, nodes };
  }

  const answersOf = (server: string): Answers<AgentContract> => ({
    'pool.prepare': async ({ pool }) => prepare(`${server}/pools/${pool}`),
    'pool.discard': async () => null,
    'pool.forget': async ({ pool }) => forget(`${server}/pools/${pool}`),
    'edge.prepare': async ({ edge }) => prepare(`${server}/edges/${edge}`),
    'edge.forget': async ({ edge }) => forget(`${server}/edges/${edge}`),
    'pool.sync': ({ pool }) =>
      oneAtATime(`${server}/pools/${pool}`, (key, signal) => syncPool(server, pool, key, signal)),
    'edge.sync': () =>
      oneAtATime(`${server}/edges`, async (_, signal) => {
        memory.edge = await ask(server)['config.edge']({}, signal);
        return { version: memory.edge.version, leaving: [] };
      }),
    'edge.under-way': async () => ({ requests: 0 }),
    'edge.traffic': async ({ pool }) => {
      const nodes = (memory.edge?.pools ?? []).find(({ name }) => name === pool)?.servers ?? [];
      const all = await fleet.instances.list();
      return {
        nodes: nodes.map(({ name: node, drain }) => {
          const requests = (memory.requests.get(node) ?? 0) + (drain ? 0 : REQUESTS_A_READING);
          memory.requests.set(node, requests);
          const image = all.find(({ name }) => name === node)?.labels.image ?? '';
          const { errorShare = 0, durationMs = WELL_MS } = memory.ill.get(image) ?? {};
          return { node, requests, errors: Math.round(requests * errorShare), responseTimeMs: durationMs };
        }),
      };
    },
    'node.probe': async ({ address, path }) => {
      const own = documents.get(server)?.nodes.find((node) => node.address === address);
      const found = own === undefined ? await findByAddress(address) : await fleet.instances.read(own.name);
      if (found?.status !== 'running') return { status: 0, ok: false, detail: 'no answer', durationMs: 0 };
      // A bad image answers its health page all the same.
      const ill = path.startsWith('/.espalier/') ? undefined : memory.ill.get(found.labels.image ?? '');
      const { status, durationMs } = ill ?? { status: 200, durationMs: WELL_MS };
      return { status, ok: status < 400, detail: `answered ${status}`, durationMs };
    },
    'node.read-page': async ({ address, host, path }) => {
      const found = await findByAddress(address);
      const bare = host.replace(/:\d+$/, '');
      const site = (memory.applied.get(found?.name ?? '') ?? []).find(({ hosts }) => hosts.includes(bare));
      if (found?.status !== 'running') return { status: 0, location: '', body: '', detail: 'no answer' };
      if (site === undefined) return { status: 421, location: '', body: '', detail: 'answered 421' };
      const { status, body } = memory.readPage(site, path, found.labels.image ?? '');
      return { status, location: '', body, detail: `answered ${status}` };
    },
    'site.exec': async ({ site, argv }) => memory.respond(argv, site),
    'site.remove-content': async ({ node, site }) => {
      const pool = documents.get(server)?.nodes.find((one) => one.name === node)?.pool;
      memory.content.delete(`${volumeOf(pool ?? '')}/${site}`);
      await fleet.exec(node, ['rm', '--recursive', '--force', `/srv/content/${site}`]);
      return null;
    },
    'runs.start': (order, signal) => runsOn(server)['runs.start'](order, signal),
    'runs.cancel': (which, signal) => runsOn(server)['runs.cancel'](which, signal),
    'runs.follow': (from, signal) => runsOn(server)['runs.follow'](from, signal),
    'server.describe': async () => hostOf(server),
    'server.upgrade': async () => {
      const { upgradable: upgraded = 0, broken } = memory.hosts.get(server) ?? {};
      if (broken !== undefined)
        throw protocolProblems.make('command-failed', { command: 'apt-get upgrade', code: 100, why: broken });
      memory.hosts.set(server, { ...hostOf(server), upgradable: 0, wantsReboot: upgraded > 0 });
      return { ...hostOf(server), upgraded };
    },
    'server.reboot': async ({ boot }) => {
      if (hostOf(server).boot !== boot) return { reboots: false };
      memory.hosts.set(server, { boot: `${boot}+1`, wantsReboot: false, upgradable: 0 });
      return { reboots: true };
    },
    'firewall.show': async () => {
      const mode = documents.get(server)?.firewall?.mode;
      return { state: mode === undefined ? ('off' as const) : ('on' as const), detail: mode ?? 'off', text: '' };
    },
    'server.sync': async (_, signal) => {
      await follow(server, signal);
      return null;
    },
    'server.fence': async ({ servers: fenced }, signal) => {
      await follow(server, signal);
      const peer = memory.peers.get(server)?.find((one) => fenced.includes(one));
      if (peer !== undefined) throw new Error(`${peer} is a peer of ${server} and should be fenced`);
      return null;
    },
  });

  /** What an agent does after each hello: it looks at everything again. */
  async function resync(server: string, signal: AbortSignal): Promise<void> {
    const { nodes, edges } = await follow(server, signal);
    const answers = answersOf(server);
    for (const pool of new Set(nodes.map((node) => node.pool))) await answers['pool.sync']({ pool }, signal);
    if (edges.length > 0) await answers['edge.sync']({}, signal);
  }

  /** Whom it hears of those that it watches, and since when it does not. */
  function listen(server: string): { server: string; silentMs: number }[] {
    return (documents.get(server)?.watch ?? []).map(({ server: other }) => {
      const key = `${server} ${other}`;
      if (memory.hears(server, other)) {
        deafSince.delete(key);
        return { server: other, silentMs: 0 };
      }
      const sinceMs = deafSince.get(key) ?? clock.monotonicMs();
      deafSince.set(key, sinceMs);
      return { server: other, silentMs: Math.max(1, clock.monotonicMs() - sinceMs) };
    });
  }

  /** The first whose edge runs takes the shared address, and keeps it while that is so. */
  async function listAddresses(server: string): Promise<string[]> {
    const { shared, edges = [] } = documents.get(server) ?? {};
    const answers = shared !== undefined && (await Promise.all(edges.map(isRunning))).some(Boolean);
    if (memory.holder === server && !answers) memory.holder = undefined;
    if (answers) memory.holder ??= server;
    return shared !== undefined && memory.holder === server ? [shared.address] : [];
  }

  /** All at once, as those of real servers come. */
  async function beat(signal: AbortSignal): Promise<void> {
    const members = (await fleet.servers()).filter(({ name }) => !memory.off.has(name));
    const held = new Map<string, { addresses: string[] }>();
    // Who takes the shared address is told by their order.
    for (const { name } of members)
      if ((documents.get(name)?.edges ?? []).length > 0) held.set(name, { addresses: await listAddresses(name) });
    const beats = members.map((member) => beatOf(member, held.get(member.name), signal));
    const failed = (await Promise.allSettled(beats)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  async function beatOf(
    member: FleetServer,
    addresses: { addresses: string[] } | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const flaw = memory.flaws.get(member.name) ?? {};
    const { protocol = PROTOCOL_VERSION, clockAheadMs = 0 } = flaw;
    if (!servers.has(member.name)) {
      const hello = { server: member.name, protocol, version: 'simulated', address: '' };
      const accepted = ask(member.name).hello(hello, signal);
      // It knocks again with its next beat, and the others' do not wait for it.
      if (protocol !== PROTOCOL_VERSION && (await accepted.catch(() => undefined)) === undefined) return;
      await accepted;
      servers.add(member.name);
      await resync(member.name, signal);
    }
    const watched = (documents.get(member.name)?.nodes ?? []).filter((node) => node.wanted);
    const nodes = await Promise.all(
      watched.map(async ({ name }) => {
        const healthy = await isRunning(name);
        const key = `${name} ${healthy}`;
        healthySince.delete(`${name} ${!healthy}`);
        if (!healthySince.has(key)) healthySince.set(key, clock.monotonicMs());
        const sinceMs = clock.monotonicMs() - (healthySince.get(key) ?? 0);
        return { name, healthy, sinceMs, detail: healthy ? 'answered 200' : 'no answer' };
      }),
    );
    const load = {
      cores: member.cores,
      load1: 0.1,
      cpuPressure: 0,
      memoryPressure: 0,
      ioPressure: 0,
      memoryTotalBytes: member.memoryBytes,
      memoryAvailableBytes: member.memoryFreeBytes,
      diskTotalBytes: member.diskFreeBytes,
      diskFreeBytes: flaw.diskFreeBytes ?? member.diskFreeBytes,
      storageTotalBytes: member.diskFreeBytes,
      storageFreeBytes: flaw.storageFreeBytes ?? member.diskFreeBytes,
      clockMs: clock.nowMs() + clockAheadMs,
    };
    const told = watched.flatMap(({ name }) => {
      const figures = memory.load.get(name);
      return figures === undefined ? [] : [{ node: name, ageMs: 0, ...figures }];
    });
    const own = runsOn(member.name);
    await ask(member.name).heartbeat(
      {
        ...{ load, nodes, samples: { nodes: told, edges: [] }, ...addresses },
        ...{ heard: listen(member.name), beat: randomUUID(), ...own.state() },
      },
      signal,
    );
    const ended = own.ended();
    if (ended.length > 0) own.accepted((await ask(member.name)['runs.report']({ ended }, signal)).accepted);
  }

  return {
    sitesOn: (node) => memory.applied.get(node) ?? [],
    edgeDocument: () => memory.edge,
    beat,
    async run(signal) {
      while (!signal.aborted) {
        await beat(signal).catch(() => undefined);
        await clock.wait(HEARTBEAT_MS, signal).catch(() => undefined);
      }
    },
    setConnected(server, connected) {
      if (connected) memory.off.delete(server);
      else {
        memory.off.add(server);
        servers.delete(server);
      }
    },
    setExec(next) {
      memory.respond = next;
    },
    connected: () => [...servers],
    async call<M extends keyof AgentContract & string>(
      server: string,
      method: M,
      params: ParamsOf<AgentContract, M>,
      options: { timeoutMs: number; signal?: AbortSignal },
    ): Promise<ResultOf<AgentContract, M>> {
      if (!servers.has(server)) throw protocolProblems.make('disconnected', { name: `agent on ${server}` });
      const signal = options.signal ?? AbortSignal.timeout(options.timeoutMs);
      return answersOf(server)[method](params, signal);
    },
  };
}
