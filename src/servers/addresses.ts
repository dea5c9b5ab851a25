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

/** How many addresses a server takes at a time: a route on every other server for 64 containers. */
const BLOCK_SIZE = 64;
export const BLOCK_PREFIX = 26;

const listAddresses = (block: string): string[] =>
  Array.from({ length: BLOCK_SIZE }, (_, n) => toAddress(toNumber(block) + n));

/** Addresses of containers that may be given, and whom the blocks belong to. */
interface Plan {
  taken: ReadonlySet<string>;
  blocks: readonly { first: string; server: string }[];
}

/** The lowest free address of the server's blocks, or of the first block that nobody has. `isNew`: take that block. */
export function chooseAddress(
  cidr: string,
  plan: Plan,
  server: string,
): { address: string; block: string; isNew: boolean } | undefined {
  const { firstStatic, lastStatic } = toAddressPlan(cidr);
  const [first, last] = [toNumber(firstStatic), toNumber(lastStatic)];
  const findFree = (block: number): string | undefined => {
    for (let number = Math.max(first, block); number <= Math.min(last, block + BLOCK_SIZE - 1); number += 1) {
      if (!plan.taken.has(toAddress(number))) return toAddress(number);
    }
    return undefined;
  };
  const owners = new Map(plan.blocks.map((block) => [block.first, block.server]));
  const start = first - (first % BLOCK_SIZE);
  const all = Array.from({ length: Math.ceil((last + 1 - start) / BLOCK_SIZE) }, (_, n) => start + n * BLOCK_SIZE);
  for (const isNew of [false, true]) {
    for (const block of all.filter((one) => owners.get(toAddress(one)) === (isNew ? undefined : server))) {
      const address = findFree(block);
      if (address !== undefined) return { address, block: toAddress(block), isNew };
    }
  }
  return undefined;
}

/** Gives the instance on that server an address; the same instance asked for again gets the same one. */
export async function allocateAddress(
  sql: Sql,
  cidr: string,
  { instance, server }: { instance: string; server: string },
): Promise<string> {
  // The clock's row serialises allocations of several controllers; it is held for one short transaction.
  await sql.query('SELECT version FROM config_clock FOR UPDATE');
  const mine = (await readAddressesOf(sql, [instance])).get(instance);
  if (mine !== undefined) return mine;
  const choose = async (blocks: Plan['blocks'], among: readonly string[] | null) => {
    const text = 'SELECT address FROM instance_address WHERE $1::text[] IS NULL OR address = ANY($1)';
    const rows = await sql.query<{ address: string }>(text, [among === null ? null : [...among]]);
    return chooseAddress(cidr, { taken: new Set(rows.map((row) => row.address)), blocks }, server);
  };
  // Of thousands only its own blocks and their addresses, unless they are full.
  const own = await listBlocks(sql, server);
  const first = await choose(
    own,
    own.flatMap((block) => listAddresses(block.first)),
  );
  const choice = first?.isNew === false ? first : await choose(await listBlocks(sql), null);
  if (choice === undefined) throw serverProblems.make('no-address-left', { network: networkOf(cidr) });
  const { address, block, isNew } = choice;
  if (isNew) await sql.query('INSERT INTO address_block (first, server) VALUES ($1, $2)', [block, server]);
  await sql.query('INSERT INTO instance_address (address, instance) VALUES ($1, $2)', [address, instance]);
  return address;
}

/** The addresses of these instances, by instance; those that have none are left out. */
export async function readAddressesOf(sql: Sql, instances: readonly string[]): Promise<Map<string, string>> {
  const rows = await sql.query<{ address: string; instance: string }>(
    'SELECT address, instance FROM instance_address WHERE instance = ANY($1)',
    [[...instances]],
  );
  return new Map(rows.map(({ address, instance }) => [instance, address]));
}

/** The addresses of instances whose names begin so. */
export async function listAddressesFrom(sql: Sql, beginning: string): Promise<string[]> {
  const rows = await sql.query<{ address: string }>(
    'SELECT address FROM instance_address WHERE starts_with(instance, $1) ORDER BY address',
    [beginning],
  );
  return rows.map(({ address }) => address);
}

/** Which server has which blocks; of one server if told. */
export async function listBlocks(sql: Sql, server?: string): Promise<{ first: string; server: string }[]> {
  const text = 'SELECT first, server FROM address_block WHERE $1::text IS NULL OR server = $1 ORDER BY first';
  return await sql.query(text, [server ?? null]);
}

/** Gives instances' addresses back. */
export async function releaseAddresses(sql: Sql, ...instances: readonly string[]): Promise<void> {
  await sql.query('DELETE FROM instance_address WHERE instance = ANY($1)', [[...instances]]);
}

/** Gives all blocks of a server back. */
export async function releaseBlocks(sql: Sql, server: string): Promise<void> {
  await sql.query('DELETE FROM address_block WHERE server = $1', [server]);
}

export async function releaseAllAddresses(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM instance_address');
  await sql.query('DELETE FROM address_block');
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
