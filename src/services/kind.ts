// What a database server and a cache server have in common, and what the code here must be told of each: a container
// made from a service image, with data on volumes of its own that outlive the container. Apart because both rooms
// (databases/, caches/) are that, and differ in their engine.
import type { Fleet } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Secrets } from '../platform/secrets.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { ServiceNoun } from './noun.ts';
import type { ServiceProblems } from './problems.ts';

/** What every service's engine can do. */
export interface ServiceEngine {
  checkHealth(signal?: AbortSignal): Promise<ServiceHealth>;
  endSessions(networks: readonly string[], signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface ServiceHealth {
  version: string;
  connections: { used: number; max: number };
}

/** How the controller reaches a server, and which container it is. */
export interface ServiceLogin {
  host: string;
  port: number;
  user: string;
  password: string;
  instance: string;
}

/** A file that the controller pushes into the container before the start. */
export interface ServiceFile {
  path: string;
  content: string;
  mode: number;
}

/** What differs between kinds of services. */
export interface ServiceKind<E extends ServiceEngine> {
  noun: ServiceNoun;
  port: number;
  /** systemd unit; restarting it takes in the pushed files. */
  unit: string;
  /** Begin of the names of servers that nobody named: `db` gives `db1`. */
  namePrefix: string;
  /** By the name's ending: `data` gives `database-db1-data`. The first holds what must never be lost. */
  volumes: readonly { suffix: string; path: string }[];
  /** The folder in the container whose files must not be deleted unasked. */
  backupsPath?: string;
  /** `controllerHosts`: from which addresses controllers come. */
  renderFiles(server: {
    number: number;
    memoryMb: number;
    login: ServiceLogin;
    controllerHosts: readonly string[];
  }): ServiceFile[];
  /** The command in the running container that lets the controllers in from these addresses too; none where addresses do not matter. */
  renderAccess?(login: ServiceLogin, controllerHosts: readonly string[]): { argv: string[]; stdin: string };
  makeEngine(login: ServiceLogin): E;
  /** What is wrong although the server answers; undefined when nothing is. */
  findWarning(health: Awaited<ReturnType<E['checkHealth']>>): string | undefined;
}

/** What every file here is given. */
export interface ServiceParts<E extends ServiceEngine> {
  kind: ServiceKind<E>;
  problems: ServiceProblems;
  store: Store;
  operations: Operations;
  events: Events;
  secrets: Secrets;
  fleet: Fleet;
  clock: Clock;
  /** The bridge network, as `10.87.0.1/20`. */
  readCidr(): Promise<string>;
  /** The fingerprint of the newest image of this kind. */
  readServiceImage(): Promise<string>;
  /** How many sites, archived ones included, live on each server of this kind, by the server's name. */
  countSites(sql: Sql): Promise<ReadonlyMap<string, number>>;
}

/** The operation's lock on a server of this kind. */
export const serviceLock = (noun: ServiceNoun, name: string): string => `${noun}:${name}`;
/** The name of the secret that is the controller's password there. */
export const adminSecret = (noun: ServiceNoun, name: string): string => `${noun}/${name}/admin-password`;
/** The controller's account on every server. */
export const ADMIN_USER = 'espalier';
