// An edge's container as it is to be: its directory, its door for visitors on its own server, and its doors at the address that
// edges share. Apart and pure, because making, healing and sharing all bring it to that.
import type { Device, InstanceSpec } from '../engines/fleet.ts';
import type { EdgeAddressRow } from './store.ts';

/** Ports in the container that expect the PROXY protocol, and so know who the visitor is (engines/haproxy/config.ts). */
const PROXY_PORT = 81;
const PROXY_TLS_PORT = 444;
const CONFIG_PATH = '/etc/espalier-edge';

const door = (listen: string, port: number): Device => ({
  ...{ kind: 'proxy', listen: `tcp:${listen}`, connect: `tcp:127.0.0.1:${port}`, proxyProtocol: true },
});

/** The shared doors listen on every server that has an edge, also where the address is not: the kernel allows it (agent). */
function renderSharedDoors(shared: EdgeAddressRow | undefined): Record<string, Device> {
  if (shared === undefined) return {};
  const { address, httpPort, httpsPort } = shared;
  return {
    'shared-http': door(`${address}:${httpPort}`, PROXY_PORT),
    'shared-https': door(`${address}:${httpsPort}`, PROXY_TLS_PORT),
  };
}

export function renderEdgeInstance(
  edge: { name: string; server: string; address: string; listen: string },
  about: { image: string; configDir: string; shared: EdgeAddressRow | undefined },
): InstanceSpec {
  return {
    name: edge.name,
    server: edge.server,
    source: { image: about.image },
    labels: { kind: 'edge' },
    config: { 'security.idmap.isolated': 'true' },
    devices: {
      eth0: { kind: 'nic', ipv4Address: edge.address },
      config: { kind: 'disk', source: about.configDir, path: CONFIG_PATH, shift: true },
      door: door(edge.listen, PROXY_PORT),
      ...renderSharedDoors(about.shared),
    },
    start: true,
  };
}
