// Chooses the server for a new site's database or cache, with the reason. A pure decision and the few reads it needs.
import type { Sql } from '../platform/store.ts';
import type { ServiceEngine, ServiceParts } from './kind.ts';
import type { ServiceProblems } from './problems.ts';
import { listServices, type ServiceRow } from './store.ts';

/** A server that was chosen for a site. */
export interface ChosenService {
  /** The server's name. */
  id: string;
  host: string;
  port: number;
  /** The sentence that is stored with the decision. */
  reason: string;
}

/** The ready primary that is least full by share of its limit, then by name. */
export function chooseService(
  services: readonly ServiceRow[],
  sites: ReadonlyMap<string, number>,
  problems: ServiceProblems,
): { name: string; address: string; reason: string } {
  const ready = services.flatMap(({ address, ...row }) =>
    row.state === 'ready' && row.role === 'primary' && address !== null ? [{ ...row, address }] : [],
  );
  if (ready.length === 0) {
    const why = services.map((row) => `${row.name} is ${row.state} (${row.reason})`).join('; ');
    throw problems.make('none-ready', { why: why || 'there is none' });
  }
  const count = (row: { name: string }): number => sites.get(row.name) ?? 0;
  const roomy = ready.filter((row) => count(row) < row.maxSites);
  const [best] = roomy.sort((a, b) => count(a) / a.maxSites - count(b) / b.maxSites || (a.name < b.name ? -1 : 1));
  if (best === undefined) {
    throw problems.make('full', {
      why: ready.map((row) => `${row.name} has ${count(row)} of ${row.maxSites}`).join(', '),
    });
  }
  const among = roomy.length === 1 ? 'the only one with room' : `the emptiest of ${roomy.length} with room`;
  return {
    name: best.name,
    address: best.address,
    reason: `${best.name} is ${among}: ${count(best)} of ${best.maxSites} sites`,
  };
}

/** Chooses in the caller's transaction, which then stores the choice with the site. */
export async function placeOnService<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  sql: Sql,
): Promise<ChosenService> {
  const services = await listServices(sql, parts.kind.noun);
  const { name, address, reason } = chooseService(services, await parts.countSites(sql), parts.problems);
  return { id: name, host: address, port: parts.kind.port, reason };
}
