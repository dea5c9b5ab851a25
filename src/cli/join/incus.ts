// This machine's own Incus and the cluster that it joins. Apart from starting Incus, which every machine does.
import { runToSuccess } from '../run-command.ts';

const READ_TIMEOUT_MS = 20_000;
/** Joining copies the cluster's database and makes its networks and storage pools here. */
const JOIN_TIMEOUT_MS = 180_000;
/** Where members of an Incus cluster talk to each other. */
const ENGINE_PORT = 8443;

/** What it is now: a member (under which name), alone and empty, or alone with containers of somebody's. */
export async function readMembership(
  signal: AbortSignal,
): Promise<{ member: string | undefined; instances: number; networks: string[] }> {
  const options = { timeoutMs: READ_TIMEOUT_MS, signal };
  const read = async (path: string): Promise<unknown> =>
    JSON.parse(await runToSuccess(['incus', 'query', path], options));
  const cluster = (await read('/1.0/cluster')) as { enabled: boolean; server_name: string };
  if (cluster.enabled) return { member: cluster.server_name, instances: 0, networks: [] };
  const instances = (await read('/1.0/instances?all-projects=true')) as string[];
  const networks = (await read('/1.0/networks?recursion=1')) as { name: string; managed: boolean }[];
  return {
    member: undefined,
    instances: instances.length,
    networks: networks.filter(({ managed }) => managed).map(({ name }) => name),
  };
}

/** The preseed that `incus admin init` reads. JSON is YAML. */
export const renderPreseed = (address: string, token: string): string =>
  JSON.stringify({ cluster: { enabled: true, server_address: `${address}:${ENGINE_PORT}`, cluster_token: token } });

/** Joins. */
export async function joinCluster(
  about: { address: string; token: string },
  parts: { say(line: string): void; signal: AbortSignal },
): Promise<void> {
  await runToSuccess(['incus', 'admin', 'init', '--preseed'], {
    ...{ timeoutMs: JOIN_TIMEOUT_MS, signal: parts.signal, onLine: parts.say },
    stdin: renderPreseed(about.address, about.token),
  });
}
