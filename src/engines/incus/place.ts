// The place itself: project, bridge and storage pool, and the servers under it. Apart because these outlive every
// container and belong to the whole machine: what carries another's key, or none, is never touched.
import { Problem } from '../../lib/errors.ts';
import type { CallOptions, FleetPlace, FleetServer, FleetSetup, FleetUsage } from '../fleet.ts';
import { boundBy, CHANGE_TIMEOUT_MS, type IncusClient, READ_TIMEOUT_MS, toPath } from './client.ts';
import { isOurs, toServer } from './parse.ts';
import { incusProblems, unless } from './problems.ts';
import {
  type OwnedRequest,
  renderClusterPart,
  renderDynamicRange,
  renderMemberPart,
  renderNetworkRequest,
  renderProjectRequest,
  renderStoragePoolRequest,
  toAddressPlan,
} from './render.ts';
import type { WireMember, WireOwned, WirePoolResources, WireResources, WireServer } from './wire.ts';

/** What other parts need to know of the server they talk to. */
export interface ServerFacts {
  /** Its name, under which it appears among the servers. Read once. */
  readName(options: CallOptions | undefined): Promise<string>;
  /**
   * `target` for a request that places something on a server (the one that we talk to when none is named); undefined when
   * there is only one. `incus.not-found`.
   */
  toTarget(serverName: string | undefined, options: CallOptions | undefined): Promise<string | undefined>;
  /** Where other members reach one, as `https://10.0.0.2:8443`, and the certificate by which they know it. */
  readDoor(serverName: string, options: CallOptions | undefined): Promise<{ url: string; certificate: string }>;
}

async function readServer(client: IncusClient, options: CallOptions | undefined): Promise<WireServer> {
  const request = { method: 'GET', path: toPath(), what: 'server' } as const;
  return (await client.send<WireServer>(request, boundBy(READ_TIMEOUT_MS, options))).metadata;
}

/** Facts of the server behind the socket. */
export function makeServerFacts(client: IncusClient): ServerFacts {
  let name: string | undefined;
  const readMember = async (server: string, options: CallOptions | undefined): Promise<WireMember> => {
    const path = toPath('cluster', 'members', server);
    const request = { method: 'GET', path, what: `server ${server}` } as const;
    return (await client.send<WireMember>(request, boundBy(READ_TIMEOUT_MS, options))).metadata;
  };
  return {
    async readName(options) {
      name ??= (await readServer(client, options)).environment.server_name;
      return name;
    },
    async toTarget(serverName, options) {
      // Asked each time: a server may join a cluster while we run.
      const { environment } = await readServer(client, options);
      if (serverName === undefined) return environment.server_clustered ? environment.server_name : undefined;
      if (environment.server_clustered) return (await readMember(serverName, options)).server_name;
      if (serverName === environment.server_name) return undefined;
      throw incusProblems.make('not-found', { what: `server ${serverName}` });
    },
    async readDoor(serverName, options) {
      const { url } = await readMember(serverName, options);
      return { url, certificate: (await readServer(client, options)).environment.certificate };
    },
  };
}

/** What the place can do, see Fleet.capabilities. */
export async function readCapabilities(client: IncusClient, place: FleetPlace, options: CallOptions | undefined) {
  const { environment } = await readServer(client, options);
  const pool = await readOwned(client, place, 'storage-pools', place.storagePool, options);
  return {
    copyOnWrite: pool?.driver !== 'dir',
    cluster: environment.server_clustered,
    shift: environment.kernel_features.idmapped_mounts === 'true',
  };
}

/** A member that is well answers in some 10 ms. */
const MEMBER_TIMEOUT_MS = 3_000;

type Noun = 'projects' | 'networks' | 'storage-pools';
const WORDS: Readonly<Record<Noun, string>> = {
  projects: 'project',
  networks: 'network',
  'storage-pools': 'storage pool',
};

/** One of the three if it is there; `incus.not-ours` when it is there without our key. */
async function readOwned(
  client: IncusClient,
  place: FleetPlace,
  noun: Noun,
  name: string,
  options: CallOptions | undefined,
): Promise<WireOwned | undefined> {
  const what = `${WORDS[noun]} ${name}`;
  const request = { method: 'GET', path: toPath(noun, name), query: { project: 'default' }, what } as const;
  const found = await client.find<WireOwned>(request, boundBy(READ_TIMEOUT_MS, options));
  // In a cluster, one whose making was interrupted before it got its config; setUp goes on with it.
  if (found?.metadata.status === 'Pending') return undefined;
  if (found && !isOurs(place, found.metadata.config)) throw incusProblems.make('not-ours', { what });
  return found?.metadata;
}

/** True when the place's project stands and is ours. */
export async function hasProject(client: IncusClient, place: FleetPlace, options: CallOptions): Promise<boolean> {
  return (await readOwned(client, place, 'projects', place.project, options)) !== undefined;
}

/** Makes what is missing of the place; see Fleet.setUp. */
export async function setUpPlace(
  client: IncusClient,
  place: FleetPlace,
  wanted: FleetSetup,
  options: CallOptions | undefined,
): Promise<FleetUsage> {
  const bound = boundBy(CHANGE_TIMEOUT_MS, options);
  // All three are looked at before the first is made, so that a name that is taken leaves nothing behind.
  const project = await readOwned(client, place, 'projects', place.project, options);
  const pool = await readOwned(client, place, 'storage-pools', place.storagePool, options);
  const network = await readOwned(client, place, 'networks', place.network, options);
  const make = async (noun: Noun, request: OwnedRequest) => {
    const about = { method: 'POST', path: toPath(noun), what: `${WORDS[noun]} ${request.name}` } as const;
    // A cluster wants to hear from each member first, except of projects.
    const members = noun === 'projects' ? [] : await listMembers(client, options);
    for (const { server_name: target } of members.length > 1 ? members : []) {
      const query = { project: 'default', target };
      await client.operate({ ...about, query, json: renderMemberPart(request) }, bound).catch(unless('exists'));
    }
    const json = members.length > 1 ? renderClusterPart(request) : request;
    await client.operate({ ...about, query: { project: 'default' }, json }, bound);
  };
  if (!project) await make('projects', renderProjectRequest(place));
  if (!pool) await make('storage-pools', renderStoragePoolRequest(place, wanted));
  if (!network) await make('networks', renderNetworkRequest(place, wanted.cidr));
  await keepStaticAddressesFree(client, place, bound);
  const usage = await readUsage(client, place, options);
  if (!usage) throw incusProblems.make('outcome-unknown', { what: `project ${place.project}` });
  return usage;
}

/** A subnet that the engine chose gets its DHCP range only now that it is known. */
async function keepStaticAddressesFree(client: IncusClient, place: FleetPlace, options: CallOptions) {
  const network = await readOwned(client, place, 'networks', place.network, options);
  const cidr = network?.config['ipv4.address'];
  if (cidr === undefined || network?.config['ipv4.dhcp.ranges'] !== undefined) return;
  await client.send(
    {
      method: 'PATCH',
      path: toPath('networks', place.network),
      query: { project: 'default' },
      what: `network ${place.network}`,
      json: { config: { 'ipv4.dhcp.ranges': renderDynamicRange(cidr) } },
    },
    options,
  );
}

async function readPoolResources(
  client: IncusClient,
  place: FleetPlace,
  target: string | undefined,
  options: CallOptions | undefined,
): Promise<WirePoolResources | undefined> {
  const path = toPath('storage-pools', place.storagePool, 'resources');
  const what = `storage pool ${place.storagePool}`;
  const bound = boundBy(READ_TIMEOUT_MS, options);
  return (await client.find<WirePoolResources>({ method: 'GET', path, query: { target }, what }, bound))?.metadata;
}

/** What stands of the place; undefined unless all of it does. */
export async function readUsage(
  client: IncusClient,
  place: FleetPlace,
  options: CallOptions | undefined,
): Promise<FleetUsage | undefined> {
  const project = await readOwned(client, place, 'projects', place.project, options);
  const pool = await readOwned(client, place, 'storage-pools', place.storagePool, options);
  const network = await readOwned(client, place, 'networks', place.network, options);
  const cidr = network?.config['ipv4.address'];
  if (!project || !pool || cidr === undefined) return undefined;
  const space = (await readPoolResources(client, place, undefined, options))?.space;
  const { firstStatic, lastStatic } = toAddressPlan(cidr);
  return {
    cidr,
    firstStatic,
    lastStatic,
    driver: pool.driver ?? '',
    diskTotalBytes: space?.total ?? 0,
    diskUsedBytes: space?.used ?? 0,
  };
}

/** Removes the three, which must be empty; absent ones are fine. */
export async function removePlace(client: IncusClient, place: FleetPlace, options: CallOptions): Promise<void> {
  const nouns: [Noun, string][] = [
    ['projects', place.project],
    ['networks', place.network],
    ['storage-pools', place.storagePool],
  ];
  for (const [noun, name] of nouns) {
    if (!(await readOwned(client, place, noun, name, options))) continue;
    const what = `${WORDS[noun]} ${name}`;
    await client.operate({ method: 'DELETE', path: toPath(noun, name), query: { project: 'default' }, what }, options);
  }
}

/** The machines; see Fleet.servers. */
export async function listServers(
  client: IncusClient,
  place: FleetPlace,
  options: CallOptions | undefined,
): Promise<FleetServer[]> {
  const { environment } = await readServer(client, options);
  const alone: WireMember = { server_name: environment.server_name, url: '', status: 'Online', message: 'It answers' };
  const members = await listMembers(client, options);
  if (members.length === 0) return [await measure(client, place, alone, undefined, boundBy(READ_TIMEOUT_MS, options))];
  return await Promise.all(
    members.map(async (member) => {
      if (member.status === 'Offline') return toServer(member, undefined, undefined);
      // The cluster takes 20 s to notice a member's death; meanwhile one that is silent must not hide the others.
      const bound = { signal: options?.signal, timeoutMs: MEMBER_TIMEOUT_MS };
      return await measure(client, place, member, member.server_name, bound).catch((thrown: unknown) => {
        if (!(thrown instanceof Problem && thrown.retryable)) throw thrown;
        const silent = { ...member, status: 'Offline', message: 'It does not answer, though its cluster counts on it' };
        return toServer(silent, undefined, undefined);
      });
    }),
  );
}

/** A member with its resources. */
async function measure(
  client: IncusClient,
  place: FleetPlace,
  member: WireMember,
  target: string | undefined,
  options: CallOptions,
): Promise<FleetServer> {
  const request = { method: 'GET', path: toPath('resources'), query: { target }, what: 'resources' } as const;
  const { metadata } = await client.send<WireResources>(request, options);
  return toServer(member, metadata, await readPoolResources(client, place, target, options));
}

/** The cluster's members; none on a single server. */
async function listMembers(client: IncusClient, options: CallOptions | undefined): Promise<WireMember[]> {
  const request = {
    method: 'GET',
    path: toPath('cluster', 'members'),
    query: { recursion: '1' },
    what: 'cluster',
  } as const;
  if (!(await readServer(client, options)).environment.server_clustered) return [];
  return (await client.send<WireMember[]>(request, boundBy(READ_TIMEOUT_MS, options))).metadata;
}
