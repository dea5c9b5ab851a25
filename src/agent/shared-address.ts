// Holds the address that edges share, or stands by for it: keepalived on this server (VRRP, unicast), which asks the server's own
// edge each second whether it answers. What it is told is text, rendered and tested; one function runs it. keepalived outlives
// the agent, so visitors do not depend on it.
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../engines/command.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { SharedAddress } from '../protocol/contract.ts';
import { leaveAddress, parseAddress } from './leave-address.ts';

const COMMAND_TIMEOUT_MS = 10_000;
/** The edge's plain port, and the address at which HAProxy answers for itself (engines/haproxy/config.ts). */
const EDGE_PORT = 80;
const EDGE_PATH = '/.espalier/edge';
/** Doors listen on the address also where it is not, so that nothing has to be opened when it comes. */
const SYSCTL_PATH = '/etc/sysctl.d/60-espalier-edge.conf';
const SYSCTL = 'net.ipv4.ip_nonlocal_bind = 1\n';
const NONLOCAL_PATH = '/proc/sys/net/ipv4/ip_nonlocal_bind';

/** So that two in vain, one a second, are seen within three seconds: an address where nobody is answers nothing at all. */
const CHECK_S = 0.7;

/** The question to the edge, as a program without arguments: HAProxy's own word, or nothing in time. */
export function renderCheck({ edge }: SharedAddress): string {
  return `#!/bin/bash
# Written by the Espalier agent: whether this server's edge answers.
[[ $1 == now ]] || exec timeout ${CHECK_S} "$0" now
exec 3<>/dev/tcp/${edge}/${EDGE_PORT} || exit 1
printf 'GET ${EDGE_PATH} HTTP/1.0\\r\\n\\r\\n' >&3
read -r line <&3
[[ $line == 'HTTP/1.'?' 200 '* ]]
`;
}

/**
 * keepalived.conf. A dead server is missed after three advertisements of 0.3 s; a dead edge after two checks, and then the
 * others hear it at once. Who has the address keeps it (`nopreempt`): a server that comes back changes nothing, and an edge
 * must answer three times before it counts again.
 */
export function renderKeepalived(shared: SharedAddress, about: { check: string; device: string }): string {
  const { address, routerId, own, peers, priority } = shared;
  return `# Written by the Espalier agent; a change made here is lost.
global_defs {
    enable_script_security
    script_user root
    vrrp_version 3
}

vrrp_script edge_answers {
    script "${about.check}"
    interval 1
    timeout 1
    fall 2
    rise 3
    init_fail
}

vrrp_instance edge {
    state BACKUP
    nopreempt
    interface ${about.device}
    virtual_router_id ${routerId}
    priority ${priority}
    advert_int 0.3
    check_unicast_src
    unicast_src_ip ${own}
    unicast_peer {
${peers.map((peer) => `        ${peer}\n`).join('')}    }
    virtual_ipaddress {
        ${address}/32 dev ${about.device}
    }
    garp_master_refresh 30
    track_script {
        edge_answers
    }
}
`;
}

/** The command that keeps keepalived running beside the agent. */
export function renderStart(about: { systemd: boolean; unit: string; config: string; pidFile: string }): string[] {
  const { systemd, unit, config, pidFile } = about;
  // Pid files of its own: the machine may have another keepalived.
  const program = [
    ...['/usr/sbin/keepalived', '--vrrp', '--use-file', config, '--pid', pidFile, '--vrrp_pid', `${pidFile}.vrrp`],
  ];
  if (!systemd) return program;
  return [
    ...['systemd-run', '--quiet', `--unit=${unit}`, '--property=Restart=always', '--property=RestartSec=1'],
    ...['--description=The shared address of Espalier edges', '--', ...program, '--dont-fork', '--log-console'],
  ];
}

export interface SharedAddressKeeper {
  /** Brings keepalived to what is given; each is applied after the one before. */
  follow(shared: SharedAddress | undefined): void;
  /** Looks whether it runs as it should. */
  keep(): Promise<void>;
}

/** `dir`: for its files, root's alone. */
export function makeSharedAddress(parts: {
  deployment: string;
  dir: string;
  /** Has the edges here end their connections after their answers. */
  endConnections(signal: AbortSignal): Promise<void>;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
}): SharedAddressKeeper {
  const { deployment, dir, endConnections, clock, log, signal } = parts;
  const unit = `espalier-${deployment}-shared-address`;
  const [config, check, pidFile] = [
    join(dir, 'keepalived.conf'),
    join(dir, 'edge-answers'),
    join(dir, 'keepalived.pid'),
  ];
  const systemd = existsSync('/run/systemd/system');
  let wanted: SharedAddress | undefined;
  let last: Promise<void> = Promise.resolve();

  const run = (argv: readonly string[]) => runCommand(argv, { timeoutMs: COMMAND_TIMEOUT_MS, signal });
  async function runToSuccess(argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await run(argv);
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${stderr.trim()}`);
    return stdout.toString('utf8');
  }

  /** Of the process that the file names, if it is keepalived still. */
  async function readPid(): Promise<number | undefined> {
    const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).trim());
    if (!(pid > 1)) return undefined;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    return name.trim() === 'keepalived' ? pid : undefined;
  }
  const isRunning = async (): Promise<boolean> =>
    systemd ? (await run(['systemctl', 'is-active', '--quiet', unit])).code === 0 : (await readPid()) !== undefined;

  async function stop(): Promise<void> {
    if (systemd) {
      if (await isRunning()) await runToSuccess(['systemctl', 'stop', unit]);
      return;
    }
    const pid = await readPid();
    // It gives the address back itself.
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
  }

  /** The next holder has it at once: keepalived says that it ends. */
  async function giveUp(): Promise<void> {
    const address = parseAddress((await readText(config)) ?? '');
    if (address === undefined || !(await hasAddress(address))) return await stop();
    log.info({ address }, 'this server gives the shared address up');
    await leaveAddress({ deployment, address, endConnections, give: stop, clock }, signal).catch((thrown: unknown) => {
      log.warn({ err: thrown, address }, 'visitors may have been cut off while the shared address was given up');
    });
  }

  async function hasAddress(address: string): Promise<boolean> {
    const shown = await runToSuccess(['ip', '-json', 'address', 'show', 'to', `${address}/32`]);
    return shown.trim().length > '[]'.length && shown.includes(address);
  }

  async function readText(path: string): Promise<string | undefined> {
    return await readFile(path, 'utf8').catch(() => undefined);
  }

  async function write(path: string, text: string, mode: number): Promise<boolean> {
    if ((await readText(path)) === text) return false;
    await writeFile(`${path}.new`, text, { mode });
    await chmod(`${path}.new`, mode);
    await rename(`${path}.new`, path);
    return true;
  }

  async function apply(shared: SharedAddress | undefined): Promise<void> {
    if (shared === undefined) {
      if (existsSync(config) && (await isRunning())) await giveUp();
      return;
    }
    await write(SYSCTL_PATH, SYSCTL, 0o644);
    await writeFile(NONLOCAL_PATH, '1');
    const shown = await runToSuccess(['ip', '-json', 'address', 'show', 'to', `${shared.own}/32`]);
    const [link] = JSON.parse(shown.trim() || '[]') as { ifname?: string }[];
    if (link?.ifname === undefined) throw new Error(`this server has no address ${shared.own}`);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await write(check, renderCheck(shared), 0o700);
    const changed = await write(config, renderKeepalived(shared, { check, device: link.ifname }), 0o600);
    if (!(await isRunning())) {
      if (systemd) await run(['systemctl', 'reset-failed', unit]);
      await runToSuccess(renderStart({ systemd, unit, config, pidFile }));
      log.info({ address: shared.address }, 'this server stands by for the shared address');
      return;
    }
    if (!changed) return;
    // It reads its file again and keeps the address meanwhile.
    if (systemd) await runToSuccess(['systemctl', 'kill', '--kill-whom=main', '--signal=HUP', unit]);
    else {
      const pid = await readPid();
      if (pid !== undefined) process.kill(pid, 'SIGHUP');
    }
  }

  function enqueue(): Promise<void> {
    last = last
      .then(() => apply(wanted))
      .catch((thrown: unknown) => {
        if (!signal.aborted) log.warn({ err: thrown }, 'the shared address is not kept as it should be');
      });
    return last;
  }

  return {
    follow(shared) {
      wanted = shared;
      void enqueue();
    },
    keep: () => (wanted === undefined ? Promise.resolve() : enqueue()),
  };
}
