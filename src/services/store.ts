// The tables `database_server` and `cache_server`, which have the same columns: their SQL and nobody else's.
import { type Json, type Sql, toJsonValue } from '../platform/store.ts';
import type { ServiceNoun } from './noun.ts';

/**
 * creating: being made, no site yet. ready: it answers. unhealthy: it does not, or its container does not run; it is
 * being healed. deleting: no new sites; it is being removed.
 */
export type ServiceState = 'creating' | 'ready' | 'unhealthy' | 'deleting';

export interface ServiceRow {
  name: string;
  /** Never used twice among servers of one kind. */
  number: number;
  instance: string;
  server: string | null;
  address: string | null;
  role: 'primary' | 'replica';
  state: ServiceState;
  reason: string;
  placement: string | null;
  maxSites: number;
  memoryMb: number;
  image: string | null;
  /** What the engine said when it last answered. */
  health: Json;
  checkedAt: string | null;
  stateSince: string;
  createdAt: string;
}

export interface NewService {
  name: string;
  maxSites: number;
  memoryMb: number;
}

const COLUMNS = `name, number, instance, server, address, role, state, reason, placement, max_sites AS "maxSites",
  memory_mb AS "memoryMb", image, health, checked_at AS "checkedAt", state_since AS "stateSince", created_at AS "createdAt"`;

/** All servers of a kind by name. */
export function listServices(sql: Sql, noun: ServiceNoun): Promise<ServiceRow[]> {
  return sql.query<ServiceRow>(`SELECT ${COLUMNS} FROM ${noun}_server ORDER BY name`);
}

export async function readService(sql: Sql, noun: ServiceNoun, name: string): Promise<ServiceRow | undefined> {
  return (await sql.query<ServiceRow>(`SELECT ${COLUMNS} FROM ${noun}_server WHERE name = $1`, [name]))[0];
}

export async function insertService(sql: Sql, noun: ServiceNoun, service: NewService): Promise<void> {
  await sql.query(
    `INSERT INTO ${noun}_server (name, instance, max_sites, memory_mb, state, reason)
     VALUES ($1, $2, $3, $4, 'creating', 'it is being created')`,
    [service.name, `${noun}-${service.name}`, service.maxSites, service.memoryMb],
  );
}

/** The lowest number that no name of the form `PREFIXnumber` has. */
export async function readFreeName(sql: Sql, noun: ServiceNoun, prefix: string): Promise<string> {
  const names = new Set((await listServices(sql, noun)).map((service) => service.name));
  let number = 1;
  while (names.has(`${prefix}${number}`)) number += 1;
  return `${prefix}${number}`;
}

export async function storeServicePlace(
  sql: Sql,
  noun: ServiceNoun,
  name: string,
  place: { server: string; address: string; placement: string; image: string },
): Promise<void> {
  await sql.query(`UPDATE ${noun}_server SET server = $2, address = $3, placement = $4, image = $5 WHERE name = $1`, [
    name,
    place.server,
    place.address,
    place.placement,
    place.image,
  ]);
}

/** Lives in another container from now on, on another server. */
export async function storeServiceHome(
  sql: Sql,
  noun: ServiceNoun,
  name: string,
  home: { instance: string; server: string; address: string; placement: string },
): Promise<void> {
  await sql.query(
    `UPDATE ${noun}_server SET instance = $2, server = $3, address = $4, placement = $5 WHERE name = $1`,
    [name, home.instance, home.server, home.address, home.placement],
  );
}

export async function storeServiceImage(sql: Sql, noun: ServiceNoun, name: string, image: string): Promise<void> {
  await sql.query(`UPDATE ${noun}_server SET image = $2 WHERE name = $1`, [name, image]);
}

export async function storeMaxSites(sql: Sql, noun: ServiceNoun, name: string, maxSites: number): Promise<boolean> {
  const rows = await sql.query(`UPDATE ${noun}_server SET max_sites = $2 WHERE name = $1 RETURNING name`, [
    name,
    maxSites,
  ]);
  return rows.length > 0;
}

/** Changes state and reason of a server that is in one of `from`; true when the state was another one before. */
export async function storeServiceState(
  sql: Sql,
  noun: ServiceNoun,
  name: string,
  change: { from: readonly ServiceState[]; to: ServiceState; reason: string; health?: unknown },
): Promise<boolean> {
  const rows = await sql.query<{ changed: boolean }>(
    `UPDATE ${noun}_server s SET state = $3, reason = $4, checked_at = now(), health = coalesce($5::jsonb, s.health),
       state_since = CASE WHEN s.state = $3 THEN s.state_since ELSE now() END
     FROM (SELECT name, state FROM ${noun}_server WHERE name = $1 FOR UPDATE) old
     WHERE s.name = old.name AND old.state = ANY($2)
     RETURNING old.state <> $3 AS changed`,
    [name, [...change.from], change.to, change.reason, change.health === undefined ? null : toJsonValue(change.health)],
  );
  return rows[0]?.changed ?? false;
}

export async function deleteService(sql: Sql, noun: ServiceNoun, name: string): Promise<void> {
  await sql.query(`DELETE FROM ${noun}_server WHERE name = $1`, [name]);
}

export async function deleteAllServices(sql: Sql, noun: ServiceNoun): Promise<void> {
  await sql.query(`DELETE FROM ${noun}_server`);
}
