// What the agents' twins remember, and what a test sets about their servers. Apart from the twins, since it outlives a controller.
import type { NodeSample } from '../protocol/contract.ts';
import type { EdgeDocument } from '../protocol/edge-document.ts';
import type { SiteDocument } from '../protocol/site-document.ts';

/** A server as a machine. `broken`: why its packages cannot be upgraded. */
export interface SimulatedHost {
  boot: string;
  wantsReboot: boolean;
  upgradable: number;
  broken?: string;
}

/** What is not as it should be on a server: its agent is of another version, its clock is off, its disk or storage pool is full. */
export interface SimulatedFlaw {
  protocol?: number;
  clockAheadMs?: number;
  diskFreeBytes?: number;
  storageFreeBytes?: number;
}

/** What the agents' twins have done. It outlives a controller, as the real agents' work does. */
export interface AgentMemory {
  /** What a server knows of a pool's sites, by `SERVER/pools/POOL`, and up to which version. */
  readonly known: Map<string, { version: number; sites: ReadonlyMap<string, SiteDocument> }>;
  /** The sites that a node has applied, by the node's name. */
  readonly applied: Map<string, readonly SiteDocument[]>;
  /** Folders of uploads, `POOL/SITE`. */
  readonly content: Set<string>;
  /** Host directories, `SERVER/pools/POOL` and `SERVER/edges/EDGE`. */
  readonly directories: Set<string>;
  /** Servers whose agents are cut off. */
  readonly off: Set<string>;
  edge: EdgeDocument | undefined;
  /** The server that has the address which edges share. */
  holder: string | undefined;
  /** What the agents tell of nodes' load, by the node's name; of others they tell nothing. */
  readonly load: Map<string, Omit<NodeSample, 'node' | 'ageMs'>>;
  /** How nodes of an image (its number) serve where it is not well: status and time of their pages, share of errors. */
  readonly ill: Map<string, { status: number; durationMs: number; errorShare: number }>;
  /** What commands in sites answer. */
  respond: (argv: readonly string[], site: string) => { code: number; stdout: string; stderr: string };
  /** What a page of a site is on a node of an image (its number). */
  readPage: (site: SiteDocument, path: string, image: string) => { status: number; body: string };
  /** The servers whose containers reach those on a server, by its name: its peers, as it heard last. */
  readonly peers: Map<string, readonly string[]>;
  /** Whether one server's engine answers another's agent; those of `off` answer too, unless it says otherwise. */
  hears: (listener: string, server: string) => boolean;
  /** Requests that an edge sent to a node. */
  readonly requests: Map<string, number>;
  readonly hosts: Map<string, SimulatedHost>;
  readonly flaws: Map<string, SimulatedFlaw>;
}

export function makeAgentMemory(): AgentMemory {
  return {
    known: new Map(),
    applied: new Map(),
    content: new Set(),
    directories: new Set(),
    off: new Set(),
    edge: undefined,
    holder: undefined,
    load: new Map(),
    ill: new Map(),
    respond: () => ({ code: 0, stdout: '', stderr: '' }),
    readPage: ({ title }, path) => ({ status: 200, body: `<title>${title}</title><p>The page ${path} of ${title}.` }),
    requests: new Map(),
    peers: new Map(),
    hears: () => true,
    hosts: new Map(),
    flaws: new Map(),
  };
}
