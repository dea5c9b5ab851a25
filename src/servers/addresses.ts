// Gives every container an address of its own before it boots, so that nothing has to wait for DHCP to tell.
// Apart from the servers themselves: addresses belong to the network.
import { toAddressPlan } from '../engines/incus/render.ts';
import { CANDIDATES, findFreeNetwork, toAddress, toNumber, toRange } from '../lib/ipv4.ts';
import type { Sql } from '../platform/store.ts';
import { serverProblems } from './problems.ts';

/** The bridge's own address, where the host is reached from containers. */
export function bridgeAddress(cidr: string): string {
  return cidr.split('/')[0] ?? '';
}

/** The network of a bridge address, as `10.87.0.0/20`. */
export function networkOf(cidr: string): string {
  return `${toAddress(toRange(cidr).first)}/${cidr.split('/')[1] ?? ''}`;
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

/**
 * The bridge address (`10.87.16.1/20`) of the first network, beginning at a place that follows from the deployment's name,
 * that overlaps none of `taken` (`address/prefix` each, IPv4).
 */
export function chooseCidr(deployment: string, taken: readonly string[]): string {
  const cidr = findFreeNetwork(deployment, taken);
  if (cidr === undefined) throw serverProblems.make('no-address-left', { network: CANDIDATES });
  return cidr;
}
