// What controller and agent say to each other: every method with the schema of its parameters and result.
// The single source for both programs; peer.ts carries it.
import { z } from 'zod';
import { edgeDocument } from './edge-document.ts';
import { siteDocument } from './site-document.ts';

/** Raised when a method changes so that older programs would misunderstand it. */
export const PROTOCOL_VERSION = 1;

/** A node as its server's agent must know it. */
export const agentNodeSchema = z.object({
  name: z.string(),
  pool: z.string(),
  address: z.string(),
  /** False while the node is leaving: it is still configured, no longer reported as able to serve. */
  wanted: z.boolean(),
});
export type AgentNode = z.infer<typeof agentNodeSchema>;

/** Everything that one agent follows, but for the sites' documents, which it reads pool by pool. */
export const serverDocumentSchema = z.object({
  server: z.string(),
  nodes: z.array(agentNodeSchema),
  /** Addresses of the edges, from which nodes believe what is said of a visitor's address. */
  trustedProxies: z.array(z.string()),
  /** Names of the edge containers on this server. */
  edges: z.array(z.string()),
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
  clockMs: z.number(),
});
export type ServerLoad = z.infer<typeof loadSchema>;

const nothing = z.null();
const execResultSchema = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() });
export type ExecResult = z.infer<typeof execResultSchema>;

/** What the controller asks of an agent. */
export const agentContract = {
  /** Makes the host directory that a pool's nodes mount, before the first of them is created. */
  'pool.prepare': { params: z.object({ pool: z.string() }), result: z.object({ configDir: z.string() }) },
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
  'edge.forget': { params: z.object({ edge: z.string() }), result: nothing },
  /** One request to a node, as the edge would send it. Status 0: no answer; `detail` says why. */
  'node.probe': {
    params: z.object({ address: z.string(), host: z.string(), path: z.string(), contains: z.string().optional() }),
    result: z.object({ status: z.number(), ok: z.boolean(), detail: z.string() }),
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
  /** The agent looks at its server document again (nodes came or went). */
  'server.sync': { params: z.object({}), result: nothing },
};
export type AgentContract = typeof agentContract;

/** What an agent asks of the controller. */
export const controllerContract = {
  hello: {
    params: z.object({ server: z.string(), protocol: z.number(), version: z.string(), address: z.string() }),
    result: z.object({ accepted: z.literal(true) }),
  },
  heartbeat: {
    params: z.object({ load: loadSchema, nodes: z.array(nodeReportSchema) }),
    result: nothing,
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
