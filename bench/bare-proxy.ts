// What the edge is compared with: HAProxy as a person would set it up by hand for the same nodes, the same program in the
// same container, as a second process on a port of its own.
import type { NodeView, Place } from './place.ts';

const PORT = 8090;
const UNIT = 'espalier-bench-haproxy';
const CONFIG = '/run/espalier-bench-haproxy.cfg';

export interface BareProxy {
  /** `10.0.0.2:8090` */
  origin: string;
  stop(): Promise<void>;
}

/** The whole configuration; the host decides between the two pools. */
export function renderBareConfig(plainHost: string, nodes: Record<'plain' | 'wordpress', readonly NodeView[]>): string {
  const backend = (name: keyof typeof nodes) => `
backend ${name}
    balance roundrobin
    option httpchk GET /.espalier/health
${nodes[name].map((node) => `    server ${node.name} ${node.address}:80 check\n`).join('')}`;
  return `global
    user haproxy
    group haproxy

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 60s
    option forwardfor

frontend web
    bind :${PORT}
    use_backend plain if { hdr(host) -i ${plainHost} }
    default_backend wordpress
${backend('plain')}${backend('wordpress')}`;
}

export async function startBareProxy(
  place: Place,
  plain: string,
  nodes: Record<'plain' | 'wordpress', readonly NodeView[]>,
): Promise<BareProxy> {
  const { name, address } = await place.readEdge();
  const exec = async (argv: readonly string[]) => {
    const { code, stderr } = await place.fleet.exec(name, argv);
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr}`);
  };
  const stop = () => exec(['sh', '-c', `systemctl stop ${UNIT}.service 2>/dev/null; rm -f ${CONFIG}`]);
  await stop();
  await place.fleet.files.write(name, CONFIG, renderBareConfig(place.hostOf(plain), nodes));
  await exec(['systemd-run', '--quiet', `--unit=${UNIT}`, '--collect', '/usr/sbin/haproxy', '-W', '-f', CONFIG]);
  // Its first checks.
  await place.clock.wait(3_000);
  return { origin: `${address}:${PORT}`, stop };
}
