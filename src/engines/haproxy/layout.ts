// The shape of what one HAProxy serves, and the places where its files lie. Apart because every file of
// this engine speaks of it, and because the engine may not know the controller's protocol.

/** One node behind the edge. `drain`: keeps the requests it has and gets no new ones. */
export interface ProxyServer {
  name: string;
  address: string;
  port: number;
  drain: boolean;
}

/** A pool of equal servers: one HAProxy backend. */
export interface ProxyPool {
  name: string;
  servers: readonly ProxyServer[];
  /** A pool that may sleep without any server: its first requests are held while one starts. */
  holds?: boolean | undefined;
}

/** One host name and what to do with its requests. Limits are the site's; 0 means none. */
export interface ProxyHost {
  host: string;
  site: string;
  pool: string;
  state: 'ready' | 'held' | 'suspended' | 'creating';
  requestsPerS: number;
  connections: number;
}

/** Everything that one HAProxy serves. */
export interface ProxyLayout {
  trustedProxies: readonly string[];
  pools: readonly ProxyPool[];
  hosts: readonly ProxyHost[];
  /** All HAProxies that serve this; none where they do not know of each other. */
  edges?: readonly { name: string; address: string }[] | undefined;
}

/** Where HAProxy's directory is seen from inside its container. */
export const edgeDir = '/etc/espalier-edge';

/** The names in that directory; the same inside the container and on the host that mounts it. */
export const edgeFiles = {
  config: 'haproxy.cfg',
  /** The configuration before the last reload; the container starts from it when the newer one is broken. */
  lastConfig: 'haproxy.cfg.last',
  hostsMap: 'maps/hosts.map',
  pages: 'errors',
  certificates: 'certs',
  serversState: 'servers.state',
  hold: 'hold.lua',
  document: 'document.json',
  adminSocket: 'admin.sock',
  masterSocket: 'master.sock',
} as const;
