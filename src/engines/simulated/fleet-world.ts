// What exists in the simulated engine: the machine's networks and pools, and each project's containers, images and
// volumes. Plain data, so that it can lie in one JSON file; apart from what is done to it.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Device, InstanceState, InstanceStatus, Labels } from '../fleet.ts';

/** A file in a simulated container: content in base64, or a link's target, or neither for a folder. */
export interface SimulatedFile {
  content?: string;
  link?: string;
  mode: number;
  uid: number;
  gid: number;
}
export type SimulatedFiles = Record<string, SimulatedFile>;

export interface SimulatedSnapshot {
  name: string;
  createdAt: string;
  files: SimulatedFiles;
}

export interface SimulatedInstance {
  name: string;
  server: string;
  status: InstanceStatus;
  createdAt: string;
  labels: Labels;
  config: Record<string, string>;
  devices: Record<string, Device>;
  image: string | undefined;
  /** Addresses of its NICs; they count while it runs. */
  addresses: string[];
  load: Pick<InstanceState, 'memoryBytes' | 'cpuS' | 'processes'>;
  files: SimulatedFiles;
  snapshots: SimulatedSnapshot[];
  log: string;
}

export interface SimulatedImage {
  fingerprint: string;
  aliases: string[];
  labels: Labels;
  sizeBytes: number;
  createdAt: string;
  files: SimulatedFiles;
}

export interface SimulatedVolume {
  name: string;
  server: string;
  labels: Labels;
  shifted: boolean;
  createdAt: string;
  snapshots: { name: string; createdAt: string }[];
  /** What commands put into it, by path in the containers that mount it; folders are there by what is in them. */
  files?: Record<string, string>;
}

export interface SimulatedProject {
  instances: Record<string, SimulatedInstance>;
  images: Record<string, SimulatedImage>;
  volumes: Record<string, SimulatedVolume>;
}

/** A whole engine. `owner` is the project that made the thing. */
export interface SimulatedWorld {
  projects: Record<string, SimulatedProject>;
  networks: Record<string, { owner: string; cidr: string }>;
  storagePools: Record<string, { owner: string; driver: string; sizeGib: number }>;
}

/** An engine with nothing in it. */
export function makeSimulatedWorld(): SimulatedWorld {
  return { projects: {}, networks: {}, storagePools: {} };
}

/** The world of a file, or an empty one when there is no such file. */
export function readWorld(file: string): SimulatedWorld {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as SimulatedWorld;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return makeSimulatedWorld();
    throw new Error(`${file} does not hold a simulated fleet; remove it to begin anew`, { cause: thrown });
  }
}

/** Writes the world to its file, whole or not at all. */
export function writeWorld(file: string, world: SimulatedWorld): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify(world), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
