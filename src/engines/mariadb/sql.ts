// The SQL that Espalier says to MariaDB, as text from pure functions: the one place where names are quoted.
// Apart from the connection, so that tests compare every statement exactly.
import { createHash } from 'node:crypto';
import type { DatabaseLimits, DatabaseSite } from '../database-engine.ts';

/** `` `name` `` with backticks doubled. Throws on what MariaDB allows in no identifier. */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.length > 64 || name.includes('\0'))
    throw new Error('an SQL identifier has 1 to 64 characters and no NUL');
  return `\`${name.replaceAll('`', '``')}\``;
}

/** A string literal, right whether or not backslashes escape in the session's SQL mode. */
export function quoteString(value: string): string {
  const forbidden = [...value].some((character) => character === '\\' || character < ' ');
  if (forbidden) throw new Error('an SQL string of ours has no backslash and no control character');
  return `'${value.replaceAll("'", "''")}'`;
}

/** A database name as GRANT reads it, where `_` and `%` are wildcards unless escaped. */
export function quoteGrantedDatabase(name: string): string {
  return quoteIdentifier(name).replace(/[_%\\]/g, '\\$&');
}

/** `'user'@'host'`. */
export function quoteAccount(user: string, host: string): string {
  return `${quoteString(user)}@${quoteString(host)}`;
}

/**
 * What MariaDB stores for a password (mysql_native_password: `*` and SHA1(SHA1(password)) in upper case), so that the
 * password itself appears in no statement, log or process list.
 */
export function toPasswordHash(password: string): string {
  const once = createHash('sha1').update(password).digest();
  return `*${createHash('sha1').update(once).digest('hex').toUpperCase()}`;
}

export function renderLimits(limits: DatabaseLimits): string {
  return `MAX_USER_CONNECTIONS ${toCount(limits.connections)} MAX_STATEMENT_TIME ${toCount(limits.statementTimeS)}`;
}

export function renderCreateDatabase(name: string): string {
  return `CREATE DATABASE IF NOT EXISTS ${quoteIdentifier(name)}`;
}

/** A warning comes back when the account is there already: then `renderRepairAccount` makes it as described. */
export function renderCreateAccount(site: DatabaseSite): string {
  return `CREATE USER IF NOT EXISTS ${renderAccount(site)}`;
}

export function renderRepairAccount(site: DatabaseSite): string {
  return `ALTER USER ${renderAccount(site)}`;
}

export function renderGrant(site: DatabaseSite): string {
  return `GRANT ALL PRIVILEGES ON ${quoteGrantedDatabase(site.name)}.* TO ${quoteAccount(site.user, site.allowedFrom)}`;
}

export function renderListHosts(user: string): string {
  return `SELECT Host AS host FROM mysql.global_priv WHERE User = ${quoteString(user)} ORDER BY Host`;
}

export function renderDropAccount(user: string, host: string): string {
  return `DROP USER IF EXISTS ${quoteAccount(user, host)}`;
}

/** The account that loads dumps into one database, and lives as long as that takes. */
export const loaderOf = (name: string): string => `load-${name}`;

export function renderSetLimits(user: string, host: string, limits: DatabaseLimits): string {
  return `ALTER USER IF EXISTS ${quoteAccount(user, host)} WITH ${renderLimits(limits)}`;
}

export function renderLock(user: string, host: string, locked: boolean): string {
  return `ALTER USER IF EXISTS ${quoteAccount(user, host)} ACCOUNT ${locked ? 'LOCK' : 'UNLOCK'}`;
}

/** Ends every connection of the user, whatever host it comes from. */
export function renderKill(user: string): string {
  return `KILL HARD CONNECTION USER ${quoteString(user)}`;
}

/** Connections over the network but for this one, with the address that each comes from, as `address:port`. */
export function renderListSessions(): string {
  return "SELECT ID AS id, HOST AS host FROM information_schema.PROCESSLIST WHERE HOST LIKE '%:%' AND ID <> CONNECTION_ID()";
}

/** Ends one connection; what it has not committed is rolled back. */
export function renderKillSession(id: number): string {
  return `KILL HARD CONNECTION ${toCount(id)}`;
}

export function renderDropDatabase(name: string): string {
  return `DROP DATABASE IF EXISTS ${quoteIdentifier(name)}`;
}

const ownSchemas = "('information_schema', 'mysql', 'performance_schema', 'sys')";

/** Databases and the bytes of their InnoDB files. The server's list of files is read, so no table is opened. */
export function renderListSites(name?: string): string {
  const only = name === undefined ? '' : ` AND s.SCHEMA_NAME = ${quoteString(name)}`;
  return [
    'SELECT s.SCHEMA_NAME AS name, CAST(COALESCE(f.bytes, 0) AS UNSIGNED) AS bytes FROM information_schema.SCHEMATA s',
    "LEFT JOIN (SELECT SUBSTRING_INDEX(NAME, '/', 1) AS name, SUM(FILE_SIZE) AS bytes",
    "FROM information_schema.INNODB_SYS_TABLESPACES WHERE NAME LIKE '%/%' GROUP BY 1) f ON f.name = s.SCHEMA_NAME",
    `WHERE s.SCHEMA_NAME NOT IN ${ownSchemas}${only} ORDER BY 1`,
  ].join(' ');
}

export function renderHealth(): string {
  const status = (name: string) =>
    `(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '${name}')`;
  return [
    'SELECT VERSION() AS version, @@GLOBAL.read_only AS readOnly, @@GLOBAL.gtid_binlog_pos AS gtidPosition,',
    `@@GLOBAL.max_connections AS connectionsMax, ${status('THREADS_CONNECTED')} AS connectionsUsed,`,
    `${status('UPTIME')} AS uptimeS`,
  ].join(' ');
}

/** The controller's account, for /etc/espalier-bootstrap.sql. Kept out of the binary log: each server has its own. */
export function renderBootstrap(admin: { user: string; password: string; allowedFrom: readonly string[] }): string {
  const lines = admin.allowedFrom.flatMap((host) => {
    const account = quoteAccount(admin.user, host);
    return [
      `CREATE USER IF NOT EXISTS ${account};`,
      `ALTER USER ${account} IDENTIFIED BY PASSWORD ${quoteString(toPasswordHash(admin.password))} ACCOUNT UNLOCK;`,
      `GRANT ALL PRIVILEGES ON *.* TO ${account} WITH GRANT OPTION;`,
    ];
  });
  return ['SET SESSION sql_log_bin = 0;', ...lines, ''].join('\n');
}

function renderAccount(site: DatabaseSite): string {
  return [
    quoteAccount(site.user, site.allowedFrom),
    `IDENTIFIED BY PASSWORD ${quoteString(toPasswordHash(site.password))}`,
    `WITH ${renderLimits(site.limits)} ACCOUNT UNLOCK`,
  ].join(' ');
}

function toCount(value: number): number {
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`a limit is a whole number from 1, not ${value}`);
  return value;
}
