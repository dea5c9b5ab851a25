// Whether the servers that remain could take what a lost one carried. A pure question over what they report, apart from
// placing, which asks it only of one container.
import { freeMb, RESERVED_MEMORY_MB } from './place.ts';
import type { ServerRow } from './store.ts';

/** What can be made anew elsewhere when its server is lost, and is expected to use. */
export interface Movable {
  server: string;
  memoryMb: number;
}

export interface Shortfall {
  server: string;
  /** What it carries that could be made elsewhere. */
  carriesMb: number;
  /** Of that, what fits nowhere. */
  missingMb: number;
}

/**
 * The servers whose loss the others could not make good, the worst first; empty with N+1 (and with one server alone, where
 * nothing could). The largest containers are placed first, each where most is free.
 */
export function findShortfalls(servers: readonly ServerRow[], movable: readonly Movable[]): Shortfall[] {
  const ready = servers.filter((server) => server.state === 'ready' && server.load !== undefined);
  if (ready.length < 2) return [];
  const shortfalls = ready.map(({ name }) => {
    const free = ready.filter((one) => one.name !== name).map((one) => freeMb(one) - RESERVED_MEMORY_MB);
    const carried = movable.filter((one) => one.server === name).map(({ memoryMb }) => memoryMb);
    let missingMb = 0;
    for (const memoryMb of [...carried].sort((a, b) => b - a)) {
      const most = free.indexOf(Math.max(...free));
      if ((free[most] ?? 0) >= memoryMb) free[most] = (free[most] ?? 0) - memoryMb;
      else missingMb += memoryMb;
    }
    return { server: name, carriesMb: carried.reduce((sum, one) => sum + one, 0), missingMb };
  });
  return shortfalls.filter(({ missingMb }) => missingMb > 0).sort((a, b) => b.missingMb - a.missingMb);
}

/** As `doctor` says it. */
export function renderShortfall({ server, carriesMb, missingMb }: Shortfall): string {
  return `without ${server}, ${missingMb} of the ${carriesMb} MB that it carries would have no place`;
}
