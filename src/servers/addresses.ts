// Gives every container an address of its own before it boots, so that nothing has to wait for DHCP to tell.
// Apart from the servers themselves: addresses belong to the network.
import { toAddressPlan } from '../engines/incus/render.ts';
import type { Sql } from '../platform/store.ts';
import { serverProblems } from './problems.ts';

const toNumber = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');

/** The bridge's own address, where the host is reached from containers. */
export function bridgeAddress(cidr: string): string {
  return cidr.split('/')[0] ?? '';
}

/** The network of a bridge address, as `10.87.0.0/20`. */
export function networkOf(cidr: string): string {
  const [bridge = '', prefix = ''] = cidr.split('/');
  const size = 2 ** (32 - Number(prefix));
  return `${toAddress(Math.floor(toNumber(bridge) / size) * size)}/${prefix}`;
}

/** An account host for a database: network and mask, as `10.87.0.0/255.255.240.0`. */
export function accountHostOf(cidr: string): string {
  const [network, prefix] = networkOf(cidr).split('/');
  const mask = toAddress(2 ** 32 - 2 ** (32 - Number(prefix)));
  return `${network}/${mask}`;
}

/** Gives the instance the lowest free address; the same instance asked for again gets the same one. */
export async function allocateAddress(sql: Sql, cidr: string, instance: string): Promise<string> {
  // The clock's row serialises allocations of several controllers; it is held for one short transaction.
  await sql.query('SELECT version FROM config_clock FOR UPDATE');
  const rows = await sql.query<{ address: string; instance: string }>('SELECT address, instance FROM instance_address');
  const mine = rows.find((row) => row.instance === instance);
  if (mine !== undefined) return mine.address;
  const taken = new Set(rows.map((row) => row.address));
  const { firstStatic, lastStatic } = toAddressPlan(cidr);
  for (let number = toNumber(firstStatic); number <= toNumber(lastStatic); number += 1) {
    const address = toAddress(number);
    if (taken.has(address)) continue;
    await sql.query('INSERT INTO instance_address (address, instance) VALUES ($1, $2)', [address, instance]);
    return address;
  }
  throw serverProblems.make('no-address-left', { network: networkOf(cidr) });
}

/** Gives an instance's address back. */
export async function releaseAddress(sql: Sql, instance: string): Promise<void> {
  await sql.query('DELETE FROM instance_address WHERE instance = $1', [instance]);
}

export async function releaseAllAddresses(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM instance_address');
}

/** Networks of 4,096 addresses in 10.64.0.0/10, where few others are. */
const CANDIDATES = 1024;
const CANDIDATE_PREFIX = 20;
const FIRST_CANDIDATE = toNumber('10.64.0.0');

/**
 * The bridge address (`10.87.16.1/20`) of the first network, beginning at a place that follows from the deployment's name,
 * that overlaps none of `taken` (`address/prefix` each, IPv4).
 */
export function chooseCidr(deployment: string, taken: readonly string[]): string {
  const seed = [...deployment].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % CANDIDATES, 7);
  const size = 2 ** (32 - CANDIDATE_PREFIX);
  const used = taken.map((cidr) => {
    const [network = '', prefix = ''] = networkOf(cidr).split('/');
    return { first: toNumber(network), last: toNumber(network) + 2 ** (32 - Number(prefix)) - 1 };
  });
  for (let step = 0; step < CANDIDATES; step += 1) {
    const first = FIRST_CANDIDATE + ((seed + step) % CANDIDATES) * size;
    const free = used.every((other) => other.last < first || other.first > first + size - 1);
    if (free) return `${toAddress(first + 1)}/${CANDIDATE_PREFIX}`;
  }
  throw serverProblems.make('no-address-left', { network: '10.64.0.0/10' });
}
