// What Espalier asks of one cache server: an account for each site that sees only its own keys, and health.
// Apart from engines/valkey/, because the rooms, the simulated twin and the conformance suite know only this.

/** One site's account. All its keys and channels begin with `prefix`. */
export interface CacheSite {
  name: string;
  password: string;
  /** `s1a2b3c4d5:`; ends in a colon, so that no site's prefix begins another's. */
  prefix: string;
}

export interface CacheSiteView {
  name: string;
  locked: boolean;
}

export interface CacheHealth {
  version: string;
  uptimeS: number;
  connections: { used: number; max: number };
  memory: { usedBytes: number; maxBytes: number };
  /** True while what sites write also reaches the disk. */
  persistent: boolean;
}

/**
 * One cache server. Every call is idempotent, bounded in time and stops early when `signal` aborts.
 * A server that is away or loading its data throws a retryable problem.
 */
export interface CacheEngine {
  /** Makes the account exactly as described, repairing what is there, and keeps it over restarts; unlocks it. */
  setSite(site: CacheSite, signal?: AbortSignal): Promise<void>;
  /** Ends the account's connections, removes it, then deletes every key under the prefix. */
  removeSite(site: { name: string; prefix: string }, signal?: AbortSignal): Promise<void>;
  /** Refuses the account's next logins and ends its connections; its keys stay. */
  lockSite(name: string, signal?: AbortSignal): Promise<void>;
  unlockSite(name: string, signal?: AbortSignal): Promise<void>;
  /** Ends every connection from these networks (`10.87.16.64/26`). Who may come is not changed. */
  endSessions(networks: readonly string[], signal?: AbortSignal): Promise<void>;
  /** Every account that is a site's, by name. */
  listSites(signal?: AbortSignal): Promise<CacheSiteView[]>;
  checkHealth(signal?: AbortSignal): Promise<CacheHealth>;
  /** Closes the connection; later calls fail. */
  close(): Promise<void>;
}
