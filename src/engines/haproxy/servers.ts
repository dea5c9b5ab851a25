// Servers (nodes) in HAProxy: their one line of parameters, what runs now, and the commands from there to what
// should be. Pure functions: nothing here talks to HAProxy.
import type { ProxyPool, ProxyServer } from './layout.ts';
import type { RuntimeCommand } from './runtime.ts';

/** A server as the running HAProxy has it. */
export interface RuntimeServer {
  pool: string;
  name: string;
  address: string;
  port: number;
  /** 0 means that it is drained. */
  weight: number;
  /** HAProxy's bits for what an administrator asked: 0 is plain service, 1 maintenance. */
  adminState: number;
  /** False for a server that was added and whose health checks were not yet switched on. */
  checked: boolean;
  /** Seconds since its state last changed. */
  sinceS: number;
}

// 16 and not 1: `balance random` draws on a ring with 16 points per unit of weight, and 16 points a server are uneven.
const SERVING_WEIGHT = 16;
// A leaving server keeps the requests it has for so long; after that its container is gone or its machine is lost.
const LEAVING_GRACE_S = 60;
// A new server gets its full share only after so long: its caches are cold. It never applies to those of the file at a reload.
const SLOW_START_S = 10;
// A dead server is noticed by its requests (3 connection errors, then one failed check) or by 3 failed checks.
const CHECKS = [
  'check inter 1s fastinter 250ms downinter 1s fall 3 rise 2',
  'observe layer4 error-limit 3 on-error sudden-death',
  `slowstart ${SLOW_START_S}s`,
].join(' ');

/** A server's parameters, the same in the file and at run time, because `add server` ignores `default-server`. */
export function renderServer(server: ProxyServer): string {
  return `${server.address}:${server.port} weight ${server.drain ? 0 : SERVING_WEIGHT} ${CHECKS}`;
}

/** Reads the answer to `show servers state` (version 1 of its format; columns by their names). */
export function parseServersState(answer: string): RuntimeServer[] {
  const lines = answer.split('\n');
  const header = lines.find((line) => line.startsWith('# '));
  if (header === undefined) return [];
  const columns = header.slice(2).split(' ');
  return lines
    .filter((line) => line !== '' && line !== '1' && !line.startsWith('#'))
    .map((line) => {
      const cells = line.split(' ');
      const read = (column: string) => cells[columns.indexOf(column)] ?? '';
      return {
        pool: read('be_name'),
        name: read('srv_name'),
        address: read('srv_addr'),
        port: Number(read('srv_port')),
        weight: Number(read('srv_uweight')),
        adminState: Number(read('srv_admin_state')),
        checked: (Number(read('srv_check_state')) & 4) !== 0,
        sinceS: Number(read('srv_time_since_last_change')),
      };
    });
}

/**
 * What a reload hands over to the new worker: who is up and who is down. Weights and administrative states are taken
 * out of it, so that those of the file hold. `answer` is that of `show servers state`.
 */
export function renderServersState(answer: string): string {
  const columns = /^# (.+)$/m.exec(answer)?.[1]?.split(' ') ?? [];
  const at = (column: string) => columns.indexOf(column);
  const lines = answer.split('\n').map((line) => {
    const cells = line.split(' ');
    if (line.startsWith('#') || cells.length !== columns.length) return line;
    cells[at('srv_uweight')] = cells[at('srv_iweight')] ?? '';
    cells[at('srv_admin_state')] = '0';
    return cells.join(' ');
  });
  return `${lines.join('\n')}\n`;
}

function addCommands(id: string, server: ProxyServer): RuntimeCommand[] {
  return [
    { line: `add server ${id} ${renderServer(server)}`, answers: ['New server registered.'] },
    { line: `enable health ${id}`, answers: [''] },
    { line: `enable server ${id}`, answers: [''] },
  ];
}

function changeCommands(id: string, server: ProxyServer, actual: RuntimeServer): RuntimeCommand[] {
  const commands: RuntimeCommand[] = [];
  const weight = server.drain ? 0 : SERVING_WEIGHT;
  if (actual.address !== server.address || actual.port !== server.port) {
    commands.push({ line: `set server ${id} addr ${server.address} port ${server.port}` });
  }
  if (actual.weight !== weight) commands.push({ line: `set weight ${id} ${weight}`, answers: [''] });
  if (!actual.checked) commands.push({ line: `enable health ${id}`, answers: [''] });
  if (actual.adminState !== 0) commands.push({ line: `set server ${id} state ready`, answers: [''] });
  return commands;
}

function removeCommands(id: string, actual: RuntimeServer): RuntimeCommand[] {
  const inMaintenance = (actual.adminState & 1) !== 0;
  return [
    ...(inMaintenance ? [] : [{ line: `disable server ${id}`, answers: [''] }]),
    ...(inMaintenance && actual.sinceS >= LEAVING_GRACE_S
      ? [{ line: `shutdown sessions server ${id}`, answers: [''] }]
      : []),
    { line: `wait 20ms srv-removable ${id}` },
    { line: `del server ${id}`, leaving: actual.name },
  ];
}

/** What changes between the running servers and the pools, as commands. */
export interface ServersDiff {
  added: number;
  changed: number;
  /** Those that should go; the ones whose `del server` is refused are still leaving. */
  removed: number;
  /** New servers and changes of existing ones. */
  additions: RuntimeCommand[];
  removals: RuntimeCommand[];
}

/**
 * The commands that turn the running servers into those of `pools`. Give the additions first, because they serve at
 * once, and the removals last, because they may have to wait. Servers of pools that are not listed are left alone: a reload takes them away.
 */
export function diffServers(pools: readonly ProxyPool[], running: readonly RuntimeServer[]): ServersDiff {
  const actual = new Map(running.map((server) => [`${server.pool}/${server.name}`, server]));
  const wanted = new Set<string>();
  const additions: RuntimeCommand[] = [];
  const changes: RuntimeCommand[] = [];
  const diff = { added: 0, changed: 0, removed: 0 };
  for (const pool of pools) {
    for (const server of pool.servers) {
      const id = `${pool.name}/${server.name}`;
      wanted.add(id);
      const found = actual.get(id);
      if (found === undefined) {
        additions.push(...addCommands(id, server));
        diff.added++;
        continue;
      }
      const commands = changeCommands(id, server, found);
      changes.push(...commands);
      if (commands.length > 0) diff.changed++;
    }
  }
  const names = new Set(pools.map((pool) => pool.name));
  const leaving = running.filter((one) => names.has(one.pool) && !wanted.has(`${one.pool}/${one.name}`));
  diff.removed = leaving.length;
  const removals = leaving.flatMap((one) => removeCommands(`${one.pool}/${one.name}`, one));
  return { ...diff, additions: [...additions, ...changes], removals };
}
