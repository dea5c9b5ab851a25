// Arithmetic of IPv4 networks, and the choice of one that nobody here uses. Apart because the controller (a deployment's
// network) and the command line (a lab's) choose alike.
import { networkInterfaces } from 'node:os';

export const toNumber = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
export const toAddress = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');

/** The first and last address of the network of an address with its prefix (`10.87.16.1/20`). */
export function toRange(cidr: string): { first: number; last: number } {
  const [address = '', prefix = ''] = cidr.split('/');
  const size = 2 ** (32 - Number(prefix));
  const first = Math.floor(toNumber(address) / size) * size;
  return { first, last: first + size - 1 };
}

/** Whether the address lies in one of the networks (`10.87.16.64/26`). */
export function isWithin(address: string, networks: readonly string[]): boolean {
  const number = toNumber(address);
  return networks.map(toRange).some(({ first, last }) => first <= number && number <= last);
}

/** Networks of 4,096 addresses in 10.64.0.0/10, where few others are. */
export const CANDIDATES = '10.64.0.0/10';
const CANDIDATE_PREFIX = 20;

/**
 * The first address (`10.87.16.1/20`) of the first network, beginning at a place that follows from the name, that
 * overlaps none of `taken` (`address/prefix` each, IPv4); undefined when all are taken.
 */
export function findFreeNetwork(name: string, taken: readonly string[]): string | undefined {
  const all = toRange(CANDIDATES);
  const size = 2 ** (32 - CANDIDATE_PREFIX);
  const count = (all.last - all.first + 1) / size;
  const seed = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % count, 7);
  const used = taken.map(toRange);
  for (let step = 0; step < count; step += 1) {
    const first = all.first + ((seed + step) % count) * size;
    const free = used.every((other) => other.last < first || other.first > first + size - 1);
    if (free) return `${toAddress(first + 1)}/${CANDIDATE_PREFIX}`;
  }
  return undefined;
}

/** The networks that this machine has an address in. */
export function readTakenNetworks(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap(({ family, cidr }) => (family === 'IPv4' && cidr !== null ? [cidr] : [])),
  );
}

/** The addresses of this machine that others could reach. */
export function readAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap(({ family, address, internal }) => (family === 'IPv4' && !internal ? [address] : [])),
  );
}
