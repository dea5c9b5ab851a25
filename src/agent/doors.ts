// Where controllers may be, as far as this server knows: the socket beside it, the address that it was given when it joined, and
// those that the controller told last. Apart from the connection, which only knocks.

import type { Door } from './connection.ts';
import type { Identity } from './identity.ts';

/**
 * The doors, the nearest first. Without an identity only the socket lets it in. `socket`: of the controller beside this agent, and
 * then its door for other servers (`address`) is not used. `told`: `HOST:PORT` each, also of this server.
 */
export function listDoors(about: {
  socket: string | undefined;
  /** `HOST:PORT` from joining. */
  joined: string | undefined;
  told: readonly string[];
  /** This server's own address. */
  address: string | undefined;
  identity: Pick<Identity, 'toTls'> | undefined;
}): Door[] {
  const { socket, joined, told, address, identity } = about;
  const local = socket === undefined ? [] : [{ url: `ws+unix://${socket}:/v1/agent` }];
  if (identity === undefined) return local;
  const isBeside = (where: string) => socket !== undefined && where.startsWith(`${address ?? ''}:`);
  const far = [...new Set([...told, ...(joined === undefined ? [] : [joined])])].filter((where) => !isBeside(where));
  return [...local, ...far.map((where) => ({ url: `wss://${where}/v1/agent`, tls: () => identity.toTls() }))];
}
