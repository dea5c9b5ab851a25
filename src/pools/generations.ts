// Generations of a pool: nodes of one image and the sites that they serve. A site is on exactly one, and its nodes know no
// other generation's sites, so that code and database never mix. Agents, edges and the order of runs know each generation
// by a key of its own, which never changes while it lives.

/** The first generation of a pool has the pool's name, later ones `pool.number`; no pool's name has a dot. */
export const generationKey = (pool: string, generation: number): string =>
  generation === 0 ? pool : `${pool}.${generation}`;

/** The pool and the number of a key. */
export function fromGenerationKey(key: string): { pool: string; generation: number } {
  const dot = key.lastIndexOf('.');
  return dot < 0 ? { pool: key, generation: 0 } : { pool: key.slice(0, dot), generation: Number(key.slice(dot + 1)) };
}

/** The key as an SQL expression, from those of the pool's name and of the number. */
export const renderGenerationKey = (pool: string, generation: string): string =>
  `(${pool} || CASE ${generation} WHEN 0 THEN '' ELSE '.' || ${generation} END)`;

/** One generation as the pool wants it. */
export interface Generation {
  generation: number;
  imageNumber: number;
  wanted: number;
}

/** What a pool's row says of its generations. */
interface OfPool extends Generation {
  otherGeneration: number | null;
  otherImage: number | null;
  otherWanted: number | null;
}

/** The pool's own generation, and the other one while it has two. */
export function listGenerations(pool: OfPool): Generation[] {
  const { generation, imageNumber, wanted, otherGeneration, otherImage, otherWanted } = pool;
  const own = { generation, imageNumber, wanted };
  if (otherGeneration === null || otherImage === null || otherWanted === null) return [own];
  return [own, { generation: otherGeneration, imageNumber: otherImage, wanted: otherWanted }];
}

/** How many nodes the pool wants of all its generations. */
export const wantedOfAll = (pool: OfPool): number => listGenerations(pool).reduce((sum, { wanted }) => sum + wanted, 0);

/** A generation that carries a share of the pool's sites has that share of its nodes, and never fewer than two of many. */
export const sizeForShare = (wanted: number, share: number): number =>
  Math.max(1, Math.min(wanted, Math.max(2, Math.ceil(wanted * share))));
