// What HAProxy counts, as numbers with names: `show stat` in its CSV form, columns by their names. Pure but for the
// one question; apart because the load of pools is read far more often than anything is changed.
import type { RuntimeSession } from './runtime.ts';

/** Counters since HAProxy's last (re)load, rates over the last second, and what is under way now. */
export interface TrafficStats {
  requests: number;
  requestsPerS: number;
  /** Requests under way now. */
  current: number;
  /** Requests that wait for a server. */
  queued: number;
  responses2xx: number;
  responses3xx: number;
  responses4xx: number;
  responses5xx: number;
  /** Connections to servers that could not be made, and answers that broke off. */
  connectErrors: number;
  responseErrors: number;
  /** Requests that were sent again, and those of them that went to another server. */
  retries: number;
  redispatches: number;
  /** Mean over the last 1024 requests, from the request's end to the answer's first byte. */
  responseTimeMs: number;
}

export interface ServerStats extends TrafficStats {
  name: string;
  /** HAProxy's own word: `UP`, `DOWN`, `DRAIN`, `MAINT`, with a count such as `UP 1/3` while it changes. */
  status: string;
  /** How the last health check ended, such as `L7OK` or `L4CON`. */
  check: string;
}

export interface PoolStats extends TrafficStats {
  name: string;
  servers: ServerStats[];
}

export interface EdgeStats {
  /** Connections of clients now, and requests that the edge itself answered (unknown hosts, limits, states). */
  connections: number;
  requests: number;
  requestsPerS: number;
  answeredByEdge: number;
  pools: PoolStats[];
}

type Row = (column: string) => string;

function parseRows(csv: string): Row[] {
  const [header = '', ...lines] = csv.replace(/^# /, '').split('\n');
  const columns = new Map(header.split(',').map((name, index) => [name, index]));
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const cells = line.split(',');
      return (column) => cells[columns.get(column) ?? -1] ?? '';
    });
}

function toTraffic(row: Row, requests: string, rate: string): TrafficStats {
  const number = (column: string) => Number(row(column)) || 0;
  return {
    requests: number(requests),
    requestsPerS: number(rate),
    current: number('scur'),
    queued: number('qcur'),
    responses2xx: number('hrsp_2xx'),
    responses3xx: number('hrsp_3xx'),
    responses4xx: number('hrsp_4xx'),
    responses5xx: number('hrsp_5xx'),
    connectErrors: number('econ'),
    responseErrors: number('eresp'),
    retries: number('wretr'),
    redispatches: number('wredis'),
    responseTimeMs: number('rtime'),
  };
}

/** Reads the answer to `show stat` for frontends, backends and servers. */
export function parseStats(csv: string): EdgeStats {
  const stats: EdgeStats = { connections: 0, requests: 0, requestsPerS: 0, answeredByEdge: 0, pools: [] };
  const servers = new Map<string, ServerStats[]>();
  for (const row of parseRows(csv)) {
    const pool = row('pxname');
    const kind = row('svname');
    if (kind === 'FRONTEND') {
      stats.connections += Number(row('scur'));
      stats.requests += Number(row('req_tot'));
      stats.requestsPerS += Number(row('req_rate'));
      stats.answeredByEdge += Number(row('intercepted'));
    } else if (kind === 'BACKEND') {
      stats.pools.push({ name: pool, ...toTraffic(row, 'req_tot', 'rate'), servers: servers.get(pool) ?? [] });
    } else {
      const server = {
        name: kind,
        status: row('status'),
        check: row('check_status').replace('* ', ''),
        ...toTraffic(row, 'req_tot', 'rate'),
      };
      servers.set(pool, [...(servers.get(pool) ?? []), server]);
    }
  }
  return stats;
}

/** Reads an entry of the sites' table: its requests past the hold. A site without an entry has had none for a while. */
export const parseUnderWay = (answer: string): number => Number(/\bconn_cur=(\d+)/.exec(answer)?.[1] ?? 0);

/** How many requests of a site are under way; the table is `_web`'s (config.ts), where all sites with limits are counted. */
export async function readUnderWay(session: RuntimeSession, site: string): Promise<number> {
  const [entry = ''] = await session.ask([`show table _web key ${site}`]);
  return parseUnderWay(entry);
}

/** Reads all counters in one question (about 1 ms for a hundred servers). */
export async function readEdgeStats(session: RuntimeSession): Promise<EdgeStats> {
  const [csv = ''] = await session.ask(['show stat -1 7 -1']);
  return parseStats(csv);
}
