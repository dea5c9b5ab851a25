// How far a pool may grow, whatever its votes: by its database servers' free connections and by the servers' free memory,
// so that the loss of one server can still be made up for. Pure.

export interface ServerRoom {
  name: string;
  freeMb: number;
  /** What the nodes of all pools there are expected to use. */
  nodesMb: number;
  /** Nodes of the pool there. */
  ofPool: number;
}

export interface Ceiling {
  most: number;
  why: string;
}

/**
 * Puts one node after another where placing would (fewest of the pool, then the most free) until one no longer fits, or
 * until the others could no longer take the nodes of some server. With one server there is no other to take them.
 */
export function memoryCeiling(
  servers: readonly ServerRoom[],
  pool: { wanted: number; nodeMemoryMb: number; reservedMb: number; most: number },
): Ceiling | undefined {
  const { nodeMemoryMb, reservedMb } = pool;
  if (servers.length === 0) return { most: pool.wanted, why: 'no server is ready' };
  let state = servers.map((server) => ({ ...server }));
  for (let size = pool.wanted; size < pool.most; size += 1) {
    const [target] = [...state]
      .filter(({ freeMb }) => freeMb - reservedMb >= nodeMemoryMb)
      .sort((a, b) => a.ofPool - b.ofPool || b.freeMb - a.freeMb);
    if (target === undefined)
      return { most: size, why: `no server has ${nodeMemoryMb} MB and ${reservedMb} MB to spare (${sayFree(state)})` };
    const next = state.map((server) =>
      server.name === target.name
        ? {
            ...server,
            freeMb: server.freeMb - nodeMemoryMb,
            nodesMb: server.nodesMb + nodeMemoryMb,
            ofPool: server.ofPool + 1,
          }
        : server,
    );
    const lost =
      next.length < 2
        ? undefined
        : next.find((server) => server.nodesMb > roomElsewhere(next, server.name, reservedMb));
    if (lost !== undefined)
      return {
        most: size,
        why: `were ${lost.name} lost, the others could not take its ${lost.nodesMb} MB of nodes (${sayFree(state)})`,
      };
    state = next;
  }
  return undefined;
}

const roomElsewhere = (servers: readonly ServerRoom[], but: string, reservedMb: number): number =>
  servers.filter(({ name }) => name !== but).reduce((sum, { freeMb }) => sum + Math.max(0, freeMb - reservedMb), 0);
const sayFree = (servers: readonly ServerRoom[]): string =>
  servers.map(({ name, freeMb }) => `${name} ${freeMb} MB free`).join(', ');

export interface DatabaseRoom {
  name: string;
  used: number;
  max: number;
}

/** Kept free on every database server: for people, backups and the controller. */
const SPARE_SHARE = 0.1;

/**
 * Each new node may open as many connections as it has workers at once. `workers`: the most that a node of this pool had at
 * work in the last hour, or what its largest site may have.
 */
export function databaseCeiling(
  databases: readonly DatabaseRoom[],
  pool: { wanted: number; workers: number },
): Ceiling | undefined {
  const workers = Math.max(1, Math.ceil(pool.workers));
  const all = databases.map(({ name, used, max }) => {
    const free = Math.max(0, Math.floor(max * (1 - SPARE_SHARE)) - used);
    return {
      most: pool.wanted + Math.floor(free / workers),
      why: `${name} has ${free} connections to spare, and a node takes up to ${workers}`,
    };
  });
  return all.sort((one, other) => one.most - other.most)[0];
}
