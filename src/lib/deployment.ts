// The names that follow from a deployment's name. Apart because controller, agent and command line must agree on them.

/** The default deployment's name, and with it its Incus project's. */
export const DEFAULT_DEPLOYMENT = 'espalier';

/** Where a deployment keeps its files when nothing else is said. */
export function defaultDataDir(deployment: string): string {
  return deployment === DEFAULT_DEPLOYMENT ? '/var/lib/espalier' : `/var/lib/espalier-${deployment}`;
}

/**
 * Project, bridge and storage pool of a deployment. A bridge's name has at most 15 characters (IFNAMSIZ), so a
 * deployment's has at most 14.
 */
export function toFleetPlace(deployment: string): { project: string; network: string; storagePool: string } {
  return { project: deployment, network: `${deployment}0`, storagePool: deployment };
}
