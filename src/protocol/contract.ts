// What controller and agent say to each other: every method with the schema of its parameters and result.
// The single source for both programs; peer.ts carries it.
import { z } from 'zod';
import { edgeDocument } from './edge-document.ts';
import { siteDocument } from './site-document.ts';

/** A node as its server's agent must know it. `pool`, here and below, is the key of a generation: `wordpress`, later `wordpress.1`. */
export const agentNodeSchema = z.object({
  name: z.string(),
  pool: z.string(),
  address: z.string(),
  /** False while the node is leaving: it is still configured, no longer reported as able to serve. */
  wanted: z.boolean(),
});
export type AgentNode = z.infer<typeof agentNodeSchema>;

/** A pool's folder below the one that all servers share. */
export const sharedContentSchema = z.object({
  /** The shared folder and its mark: without the mark it is not mounted, and nothing may be written there. */
  root: z.string(),
  mark: z.string(),
  path: z.string(),
  /** The owner outside of the containers: their root. */
  base: z.int(),
});
export type SharedContent = z.infer<typeof sharedContentSchema>;

/** How containers of different servers reach each other: a tunnel, and a route for each block of the others' addresses. */
export const tunnelSchema = z.object({
  /** The deployment's bridge; the tunnel's device is named for it. */
  bridge: z.string(),
  /** Of the VXLAN: one for each deployment. */
  id: z.int(),
  /** Where the other servers reach this one. */
  address: z.string(),
  /** This server's own address in the deployment's network, beside the bridge's, which all servers have alike. */
  inner: z.string(),
  peers: z.array(
    z.object({ server: z.string(), address: z.string(), inner: z.string(), networks: z.array(z.string()) }),
  ),
});
export type Tunnel = z.infer<typeof tunnelSchema>;

/** The firewall of a server, as it is to be (engines/nftables/rules.ts says what each part is). */
export const firewallSchema = z.object({
  mode: z.enum(['ours', 'strict']),
  bridge: z.string(),
  network: z.cidrv4(),
  members: z.array(z.ipv4()),
  routers: z.array(z.ipv4()),
  doors: z.array(z.int().min(1).max(65_535)),
  visits: z.array(z.int().min(1).max(65_535)),
  inners: z.array(z.ipv4()),
  databases: z.array(z.ipv4()),
  caches: z.array(z.ipv4()),
  carriers: z.array(z.ipv4()),
  edges: z.array(z.ipv4()),
  allow: z.array(z.string().regex(/^(tcp|udp)\/([1-9]\d{0,4})$/)),
});
export type Firewall = z.infer<typeof firewallSchema>;

/** The address that edges share, as one server with an edge must know it: passed on among these servers by VRRP. */
export const sharedAddressSchema = z.object({
  address: z.ipv4(),
  routerId: z.int().min(1).max(255),
  /** Of this server's edge: it is asked whether it answers. */
  edge: z.ipv4(),
  /** This server's address, and those of the others that have an edge. */
  own: z.ipv4(),
  peers: z.array(z.ipv4()),
  /** Higher wins where two begin at once. */
  priority: z.int().min(1).max(254),
});
export type SharedAddress = z.infer<typeof sharedAddressSchema>;

/** Everything that one agent follows, but for the sites' documents, which it reads pool by pool. */
export const serverDocumentSchema = z.object({
  server: z.string(),
  nodes: z.array(agentNodeSchema),
  /** Addresses of the edges, from which nodes believe what is said of a visitor's address. */
  trustedProxies: z.array(z.string()),
  /** Names of the edge containers on this server. */
  edges: z.array(z.string()),
  /** Absent while there is one server. */
  tunnel: tunnelSchema.optional(),
  /** The servers to which this one listens, and tells of them in its heartbeats. */
  watch: z.array(z.object({ server: z.string(), address: z.string() })).optional(),
  /**
   * There is no other server: nobody else could be given its runs, so while the controller is away their leases are renewed here,
   * and they end as they would have.
   */
  alone: z.boolean().optional(),
  /** Absent where it is switched off, and while there is one server. */
  firewall: firewallSchema.optional(),
  /** Where this server has an edge and the edges share an address. */
  shared: sharedAddressSchema.optional(),
  /** Where controllers are, `HOST:PORT`: those that lead now or may later. Absent while there is one server. */
  controllers: z.array(z.string()).optional(),
});
export type ServerDocument = z.infer<typeof serverDocumentSchema>;

/** What probing one node found, and when (milliseconds since the agent last saw the opposite). */
export const nodeReportSchema = z.object({
  name: z.string(),
  healthy: z.boolean(),
  /** For how long this has been so. */
  sinceMs: z.number(),
  detail: z.string(),
});
export type NodeReport = z.infer<typeof nodeReportSchema>;

/** A server's load. Pressure is the share of the last 10 s (percent) in which some task waited (PSI `some avg10`). */
export const loadSchema = z.object({
  cores: z.number(),
  load1: z.number(),
  cpuPressure: z.number(),
  memoryPressure: z.number(),
  ioPressure: z.number(),
  memoryTotalBytes: z.number(),
  memoryAvailableBytes: z.number(),
  diskTotalBytes: z.number(),
  diskFreeBytes: z.number(),
  /** Of this server's part of the storage pool; absent before there is one. */
  storageTotalBytes: z.number().optional(),
  storageFreeBytes: z.number().optional(),
  clockMs: z.number(),
});
export type ServerLoad = z.infer<typeof loadSchema>;

/** A node's load, as its server's kernel tells it. What cannot be told is left out and named in `missing` with the reason. */
export const nodeSampleSchema = z.object({
  node: z.string(),
  /** Since it was taken. */
  ageMs: z.number().min(0),
  /** Of all cores of its server. */
  cpuPercent: z.number().optional(),
  memoryBytes: z.number().optional(),
  cpuPressure: z.number().optional(),
  memoryPressure: z.number().optional(),
  busyWorkers: z.number().optional(),
  workerQueue: z.number().optional(),
  missing: z.record(z.string(), z.string()),
});
export type NodeSample = z.infer<typeof nodeSampleSchema>;

/** What an edge has counted of pools and their nodes: counters since it was loaded, and what is under way. */
export const edgeSampleSchema = z.object({
  edge: z.string(),
  ageMs: z.number().min(0),
  pools: z.array(
    z.object({
      pool: z.string(),
      requests: z.number(),
      current: z.number(),
      queued: z.number(),
      servers: z.array(
        z.object({
          node: z.string(),
          requests: z.number(),
          requestsPerS: z.number(),
          current: z.number(),
          queued: z.number(),
          responseTimeMs: z.number(),
        }),
      ),
    }),
  ),
});
export type EdgeSample = z.infer<typeof edgeSampleSchema>;

/** Room for runs on a server. The agent decides how many it takes at once; `free` is what is left of `total`. */
export const slotsSchema = z.object({ free: z.int().min(0), total: z.int().min(0) });
export type RunSlots = z.infer<typeof slotsSchema>;

/** A run as both programs name it. The epoch is new for each lease: a message with an older one changes nothing. */
export const heldRunSchema = z.object({ id: z.int(), epoch: z.int() });
export type HeldRun = z.infer<typeof heldRunSchema>;

/** A run to be started now, in a node of this server. */
export const runOrderSchema = heldRunSchema.extend({
  task: z.string(),
  node: z.string(),
  site: z.string(),
  /** Of the site's Unix user in the node. */
  uid: z.int(),
  argv: z.array(z.string()).min(1),
  /** The run is killed after this; `timeout` is then its cause. */
  timeoutS: z.number().positive(),
  /** Null: the node's own default. */
  limits: z.object({ cpuPercent: z.int().positive().nullable(), memoryMb: z.int().positive().nullable() }),
  /** At most one run of a key lives; the unit in the node is named after it. */
  overlapKey: z.string().min(1),
});
export type RunOrder = z.infer<typeof runOrderSchema>;

/** How a run ended. Times are the server's wall clock and are only shown; decisions use the database's clock. */
export const runResultSchema = z.object({
  /**
   * exit: by itself, see `code`. timeout: `timeoutS` was over. oom: out of memory. killed: by `runs.cancel`, or by a
   * signal from elsewhere. could-not-start: there never was a process. lease: killed because its lease was not renewed.
   */
  cause: z.enum(['exit', 'timeout', 'oom', 'killed', 'could-not-start', 'lease']),
  /** Exit code; null when there is none. */
  code: z.int().nullable(),
  /** `SIGKILL` …; null when it ended by itself. */
  signal: z.string().nullable(),
  cpuS: z.number().min(0).nullable(),
  peakMemoryBytes: z.number().min(0).nullable(),
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime(),
  /** The end of its output, both streams as they came, at most 16 KiB. For could-not-start: why. */
  tail: z.string(),
});
export type RunResult = z.infer<typeof runResultSchema>;

const hostSchema = z.object({ boot: z.string(), wantsReboot: z.boolean() });
const nothing = z.null();
const execResultSchema = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() });
export type ExecResult = z.infer<typeof execResultSchema>;

/** What the controller asks of an agent. */
export const agentContract = {
  /** Makes the host directory that a pool's nodes mount, before the first of them is created. */
  'pool.prepare': {
    params: z.object({ pool: z.string(), content: sharedContentSchema.optional() }),
    result: z.object({ configDir: z.string() }),
  },
  /** Removes the pool's folder below the shared one, with all uploads. An absent one is fine. */
  'pool.discard': { params: z.object({ content: sharedContentSchema }), result: nothing },
  /** Reads what changed in a pool and applies it in every node of it here; answers when that is done. */
  'pool.sync': {
    params: z.object({ pool: z.string() }),
    result: z.object({
      version: z.number(),
      nodes: z.array(z.object({ node: z.string(), applied: z.boolean(), detail: z.string() })),
    }),
  },
  /** Removes a pool's host directory. */
  'pool.forget': { params: z.object({ pool: z.string() }), result: nothing },
  /** Makes the host directory of an edge container. */
  'edge.prepare': { params: z.object({ edge: z.string() }), result: z.object({ configDir: z.string() }) },
  /** Reads the edge document and brings every edge on this server to it; answers when that is done. */
  'edge.sync': { params: z.object({}), result: z.object({ version: z.number(), leaving: z.array(z.string()) }) },
  /** What each edge on this server counted of a pool's nodes since they came, or since it was loaded. */
  'edge.traffic': {
    params: z.object({ pool: z.string() }),
    result: z.object({
      nodes: z.array(
        z.object({
          node: z.string(),
          requests: z.int(),
          /** Answers from 500 on, connections that failed, answers that broke off. */
          errors: z.int(),
          /** Mean of the last 1024 until the first byte. */
          responseTimeMs: z.number(),
        }),
      ),
    }),
  },
  /** How many requests of a site the edges on this server have under way; those that wait because it is held do not count. */
  'edge.under-way': { params: z.object({ site: z.string() }), result: z.object({ requests: z.int() }) },
  'edge.forget': { params: z.object({ edge: z.string() }), result: nothing },
  /** One request to a node, as the edge would send it. Status 0: no answer; `detail` says why. */
  'node.probe': {
    params: z.object({ address: z.string(), host: z.string(), path: z.string(), contains: z.string().optional() }),
    result: z.object({ status: z.number(), ok: z.boolean(), detail: z.string(), durationMs: z.number() }),
  },
  /** A page of a node as a visitor would get it, its first 256 KiB; to be compared with itself later. Status 0: no answer. */
  'node.read-page': {
    params: z.object({ address: z.string(), host: z.string(), path: z.string() }),
    result: z.object({ status: z.number(), location: z.string(), body: z.string(), detail: z.string() }),
  },
  /** Runs a command in a node as a site's user; output is bounded to the last 64 KiB of each stream. */
  'site.exec': {
    params: z.object({
      node: z.string(),
      site: z.string(),
      argv: z.array(z.string()).min(1),
      stdin: z.string().optional(),
    }),
    result: execResultSchema,
  },
  /** Removes the files that a site's customers uploaded. */
  'site.remove-content': { params: z.object({ node: z.string(), site: z.string() }), result: nothing },
  /**
   * Reads its document anew and answers when the containers of these servers reach nothing on this one any more; what it keeps
   * over a reboot says so too.
   */
  'server.fence': { params: z.object({ servers: z.array(z.string()) }), result: nothing },
  /** Which boot of the server this is, and whether its packages ask for another. */
  'server.describe': { params: z.object({}), result: hostSchema },
  /** Upgrades all packages of the server, then runs its administrator's program. Safe to ask again. */
  'server.upgrade': { params: z.object({}), result: hostSchema.extend({ upgraded: z.int() }) },
  /** Reboots the server, unless that has happened since that boot. */
  'server.reboot': { params: z.object({ boot: z.string() }), result: z.object({ reboots: z.boolean() }) },
  /** The firewall of this server as it stands now, and the rules that were given last. */
  'firewall.show': {
    params: z.object({}),
    result: z.object({ state: z.enum(['on', 'off', 'failed']), detail: z.string(), text: z.string() }),
  },
  /** The agent looks at its server document again (nodes came or went). */
  'server.sync': { params: z.object({}), result: nothing },
  /**
   * Starts runs; answers when each is started or refused. A run that is started is in every heartbeat until its end is
   * accepted. Asked again for a run that it has (same id and epoch) the agent answers `started`.
   *
   * A lease holds for `leaseMs` from the moment at which the agent SENT the heartbeat named by `beat` (by its monotonic
   * clock), and again from the sending of each later heartbeat that renewed it. The controller had that heartbeat before
   * it gave the lease, so however long this order was under way, the lease at the agent ends before the controller's.
   * An order whose beat the agent does not know (it restarted), or whose lease is over by now, is refused whole.
   */
  'runs.start': {
    params: z.object({ beat: z.string(), leaseMs: z.int().positive(), runs: z.array(runOrderSchema) }),
    result: z.object({
      started: z.array(z.int()),
      /** Nothing was started, and nothing is reported later: the controller puts the run back or ends it. */
      refused: z.array(z.object({ id: z.int(), why: z.string() })),
    }),
  },
  /** Kills runs; their ends come by `runs.report` with the cause `killed`. Ids that are unknown here are ignored. */
  'runs.cancel': { params: z.object({ ids: z.array(z.int()) }), result: nothing },
  /**
   * The output of a run from a byte offset on, at most 64 KiB. Without new output it waits up to `waitMs`. `offset` is
   * where to go on; `ended`: there will be no more. Output that is no longer kept is left out (`offset` jumps).
   */
  'runs.follow': {
    params: z.object({ id: z.int(), offset: z.int().min(0), waitMs: z.int().min(0).max(30_000) }),
    result: z.object({ text: z.string(), offset: z.int(), ended: z.boolean() }),
  },
};
export type AgentContract = typeof agentContract;

/** What an agent asks of the controller. */
export const controllerContract = {
  hello: {
    params: z.object({ server: z.string(), protocol: z.number(), version: z.string(), address: z.string() }),
    result: z.object({ accepted: z.literal(true) }),
  },
  /** The next certificate of this server, for a new key (SPKI, PEM); the one before counts until its own end. */
  'certificate.renew': {
    params: z.object({ publicKey: z.string() }),
    /** `authority`: by which the controllers are known. */
    result: z.object({ certificate: z.string(), authority: z.string().optional() }),
  },
  heartbeat: {
    params: z.object({
      load: loadSchema,
      nodes: z.array(nodeReportSchema),
      /** The load of nodes and edges here; absent of an agent that tells none. */
      samples: z.object({ nodes: z.array(nodeSampleSchema), edges: z.array(edgeSampleSchema) }).optional(),
      /** For how long the servers that it watches have not answered; 0: they answered last. */
      heard: z.array(z.object({ server: z.string(), silentMs: z.number().min(0) })).optional(),
      /** Addresses of this server now; told by one that may hold an address that edges share. */
      addresses: z.array(z.string()).optional(),
      /** Names this heartbeat, never used twice, not by a later process either; `runs.start` refers to it. */
      beat: z.string(),
      slots: slotsSchema,
      /** Everything that runs here and whose end is not yet accepted: their leases are renewed. */
      runs: z.array(heldRunSchema),
    }),
    /**
     * `lost`: runs whose leases were not renewed and that must be killed now. The leases of the others hold for `leaseMs`
     * from the sending of this heartbeat. A heartbeat that failed or was not answered renewed nothing.
     */
    result: z.object({ lost: z.array(z.int()), leaseMs: z.int().positive() }),
  },
  /** Ends of runs. Kept on the agent's disk and sent again until they are in `accepted`. */
  'runs.report': {
    params: z.object({ ended: z.array(heldRunSchema.extend({ result: runResultSchema })) }),
    /** Taken note of, also when stale: they need not be sent again. */
    result: z.object({ accepted: z.array(z.int()) }),
  },
  'config.server': { params: z.object({}), result: serverDocumentSchema },
  /** Sites of a pool whose document is newer than `since`; `complete`: these are all there are. */
  'config.pool': {
    params: z.object({ pool: z.string(), since: z.number() }),
    result: z.object({
      version: z.number(),
      changed: z.array(siteDocument),
      /** The ids of all sites that belong to the pool: what is not among them is removed. */
      present: z.array(z.string()),
    }),
  },
  'config.edge': { params: z.object({}), result: edgeDocument },
};
export type ControllerContract = typeof controllerContract;
