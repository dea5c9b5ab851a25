// What Espalier asks of one database server: a database, an account and limits for each site, health, dumps.
// Apart from engines/mariadb/, because the rooms, the simulated twin and the conformance suite know only this.

/** Bounds that the server itself enforces on one site. */
export interface DatabaseLimits {
  /** Connections that the site may hold at once (MAX_USER_CONNECTIONS). */
  connections: number;
  /** Longest time one statement may take, in seconds (MAX_STATEMENT_TIME). */
  statementTimeS: number;
}

/** One site's database and the account that owns it. */
export interface DatabaseSite {
  name: string;
  user: string;
  password: string;
  /** Where the site may connect from, as an account's host: `10.0.0.0/255.255.255.0` or `10.0.0.%`. */
  allowedFrom: string;
  limits: DatabaseLimits;
}

/** A database as it lies on the server; `bytes` are data and indexes as the server's statistics give them. */
export interface DatabaseSize {
  name: string;
  bytes: number;
}

export interface DatabaseHealth {
  /** As the server says it, `11.8.6-MariaDB-…`. */
  version: string;
  readOnly: boolean;
  uptimeS: number;
  connections: { used: number; max: number };
  /** Position after the last transaction in the binary log (`0-1-42`); empty before the first. */
  gtidPosition: string;
}

/** A compressed logical copy of one database, in a file on the database server. */
export interface DatabaseDump {
  /** Absolute path in the database server's container. */
  path: string;
  bytes: number;
  /** Of the compressed file, in hexadecimal. */
  sha256: string;
}

/**
 * One database server. Every call is idempotent, bounded in time and stops early when `signal` aborts.
 * A server that is away, starting or out of connections throws a retryable problem.
 */
export interface DatabaseEngine {
  /** Makes the database and its account exactly as described, repairing what is there; unlocks the account. */
  createSite(site: DatabaseSite, signal?: AbortSignal): Promise<void>;
  /** Ends the account's connections and removes it from every host it had, then the database with all data. */
  dropSite(site: { name: string; user: string }, signal?: AbortSignal): Promise<void>;
  /** Takes effect on the site's next connection; `unknown-site` when the account does not exist. */
  setLimits(user: string, limits: DatabaseLimits, signal?: AbortSignal): Promise<void>;
  /** Refuses the account's next logins and ends its connections; the data stays. */
  lockSite(user: string, signal?: AbortSignal): Promise<void>;
  unlockSite(user: string, signal?: AbortSignal): Promise<void>;
  /**
   * Ends every connection from these networks (`10.87.16.64/26`) and rolls back what it has not committed. Who may come is not
   * changed. `busy` (retryable) while some are still ending.
   */
  endSessions(networks: readonly string[], signal?: AbortSignal): Promise<void>;
  /** Every database that is not the server's own, by name. */
  listSites(signal?: AbortSignal): Promise<DatabaseSize[]>;
  /** Bytes of one database; undefined when it does not exist. */
  sizeOf(name: string, signal?: AbortSignal): Promise<number | undefined>;
  checkHealth(signal?: AbortSignal): Promise<DatabaseHealth>;
  /**
   * Writes a consistent dump (one transaction, with routines, triggers and events) to `path` on the server, and gives
   * its checksum. The file appears whole or not at all; an earlier one of that path is replaced.
   */
  dump(name: string, path: string, signal?: AbortSignal): Promise<DatabaseDump>;
  /**
   * Makes the database hold exactly what the dump holds. Nothing is changed when the file is missing or its checksum
   * differs. The account and its rights stay as they are.
   */
  restore(name: string, dump: { path: string; sha256: string }, signal?: AbortSignal): Promise<void>;
  removeDump(path: string, signal?: AbortSignal): Promise<void>;
  /** The bytes of a dump, in pieces as they come; `bad-dump` when there is none. */
  readDump(path: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Puts a dump on the server that came from elsewhere. */
  writeDump(path: string, pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<DatabaseDump>;
  /**
   * As restore, for a dump that nobody vouches for: what stands in it can reach this database and nothing else, since it is
   * loaded by an account that has only that. `dump-refused` tells the statement that failed.
   */
  load(name: string, dump: { path: string; sha256: string }, signal?: AbortSignal): Promise<void>;
  /** Closes all connections; later calls fail. */
  close(): Promise<void>;
}
