// The commands that Espalier says to Valkey, as argument arrays from pure functions, and how its answers read.
// Apart from the connection, so that tests compare every command exactly.
import { createHash } from 'node:crypto';
import type { CacheHealth, CacheSite, CacheSiteView } from '../cache-engine.ts';

/**
 * What a site's account may do: everything on its own keys and channels, but nothing that shows or touches what is the
 * whole server's.
 * - `@admin`, `@dangerous`: configuration, other clients, KEYS, FLUSHALL …
 * - `scan`, `randomkey`, `dbsize` walk all keys whatever the key patterns say, and a session's key is its secret.
 * - `script` and `function`: one site could empty or kill what others run; loading a script by its hash is harmless.
 * - `pubsub` lists channels of all sites; `client|tracking` can tell the names of all keys that change.
 * - `info` is in `@dangerous` but tells only counts; object caches read the version and memory policy from it.
 */
export const siteRights: readonly string[] = [
  '+@all',
  '-@admin',
  '-@dangerous',
  '-scan',
  '-randomkey',
  '-dbsize',
  '-pubsub',
  '-client|tracking',
  '-function',
  '-script',
  '+script|load',
  '+script|exists',
  '+info',
];

/** What Valkey stores for a password, so that the password itself appears in no command, log or file. */
export function toPasswordHash(password: string): string {
  return `#${createHash('sha256').update(password).digest('hex')}`;
}

/** `reset` first: the account is then exactly this, whatever it was; Valkey applies the whole list at once or not at all. */
export function renderSetSite(site: CacheSite): string[] {
  const prefix = toPrefix(site.prefix);
  const keys = ['resetchannels', `~${prefix}*`, `&${prefix}*`];
  return ['ACL', 'SETUSER', toName(site.name), 'reset', 'on', toPasswordHash(site.password), ...keys, ...siteRights];
}

/** Ends the account's connections too. */
export function renderRemoveSite(name: string): string[] {
  return ['ACL', 'DELUSER', toName(name)];
}

export function renderLock(name: string, locked: boolean): string[] {
  return ['ACL', 'SETUSER', toName(name), locked ? 'off' : 'on'];
}

export function renderKill(name: string): string[] {
  return ['CLIENT', 'KILL', 'USER', toName(name)];
}

/** By the number that Valkey gave it; one that is gone is no error. */
export function renderKillSession(id: string): string[] {
  if (!/^\d+$/.test(id)) throw new Error('a client has a number');
  return ['CLIENT', 'KILL', 'ID', id];
}

/** Number and address of each client, from `CLIENT LIST`: lines of `name=value`. */
export function parseSessions(list: string): { id: string; address: string }[] {
  return list.split('\n').flatMap((line) => {
    const facts = new Map(line.split(' ').map((word) => word.split('=') as [string, string]));
    const [id, address] = [facts.get('id'), facts.get('addr')?.split(':')[0]];
    return id === undefined || address === undefined ? [] : [{ id, address }];
  });
}

export function renderScan(cursor: string, prefix: string): string[] {
  return ['SCAN', cursor, 'MATCH', `${toPrefix(prefix)}*`, 'COUNT', '1000'];
}

/** The controller's account as a line of the account file, for /etc/espalier-bootstrap.acl. */
export function renderBootstrap(admin: { user: string; password: string }): string {
  return `user ${toName(admin.user)} on ${toPasswordHash(admin.password)} ~* &* +@all\n`;
}

export interface CacheServerConfig {
  /** What the container may use. */
  memoryMb: number;
}

/** Seven tenths of the memory are for keys; a rewrite of the append-only file copies pages and needs the rest. */
export function renderCacheServerConfig(config: CacheServerConfig): string {
  return [
    '# Written by the controller when it makes this container.',
    `maxmemory ${Math.max(32, Math.floor(config.memoryMb * 0.7))}mb`,
    'maxclients 10000',
    '',
  ].join('\n');
}

/** Sites' accounts from `ACL LIST`; the lines of `default` and of the accounts in `own` are left out. */
export function parseAccounts(lines: readonly string[], own: readonly string[]): CacheSiteView[] {
  return lines
    .map((line) => line.split(' '))
    .filter(([word, name]) => word === 'user' && name !== undefined && name !== 'default' && !own.includes(name))
    .map(([, name = '', ...rules]) => ({ name, locked: rules.includes('off') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** From the text of `INFO`. */
export function parseHealth(info: string): CacheHealth {
  const facts = new Map(
    info.split(/\r?\n/).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
  const count = (name: string) => Number(facts.get(name) ?? 0);
  return {
    version: facts.get('valkey_version') ?? facts.get('redis_version') ?? '',
    uptimeS: count('uptime_in_seconds'),
    connections: { used: count('connected_clients'), max: count('maxclients') },
    memory: { usedBytes: count('used_memory'), maxBytes: count('maxmemory') },
    persistent: facts.get('aof_enabled') === '1' && facts.get('aof_last_write_status') === 'ok',
  };
}

function toName(name: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw new Error('an account name has 1 to 64 letters, digits, - and _');
  return name;
}

/** No character that means something in a key pattern. */
function toPrefix(prefix: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}:$/.test(prefix))
    throw new Error('a prefix has 1 to 64 letters, digits, - and _, and ends in a colon');
  return prefix;
}
