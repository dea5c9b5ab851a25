// Keeps this server's firewall as the documents say: applied whole, looked at again now and then, since another program may have
// flushed everything. The kernel's state is the only memory; it stands while controller and agent are away.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../engines/command.ts';
import { BRIDGE_QUESTION, renderFirewall, renderNoFirewall, tableOf } from '../engines/nftables/rules.ts';
import type { Logger } from '../lib/log.ts';
import type { Firewall } from '../protocol/contract.ts';
import { deviceOf } from './tunnel.ts';

const TIMEOUT_MS = 10_000;
const SSH_DIR = '/etc/ssh';
const SSH_PORT = 22;

/** `on`, `off`, or why it is not as it should be. */
export interface FirewallState {
  state: 'on' | 'off' | 'failed';
  detail: string;
  /** The rules as they were given. */
  text: string;
}

/** The ports that sshd's configuration names; 22 where it names none. Pure. */
export function parseSshPorts(texts: readonly string[]): number[] {
  const found = texts.flatMap((text) =>
    [...text.matchAll(/^\s*Port\s+(\d{1,5})\s*$/gim)].map(([, port]) => Number(port)),
  );
  return found.length === 0 ? [SSH_PORT] : [...new Set(found)];
}

async function readSshPorts(): Promise<number[]> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '');
  const more = (await readdir(join(SSH_DIR, 'sshd_config.d')).catch(() => [])).filter((name) => name.endsWith('.conf'));
  const paths = [join(SSH_DIR, 'sshd_config'), ...more.map((name) => join(SSH_DIR, 'sshd_config.d', name))];
  return parseSshPorts(await Promise.all(paths.map(read)));
}

const askNft = (argv: readonly string[], stdin: string, signal: AbortSignal) =>
  runCommand(['nft', ...argv, '--file', '-'], { timeoutMs: TIMEOUT_MS, signal, stdin });

/** Gives the text to nft in one transaction. */
export async function runNft(text: string, signal: AbortSignal): Promise<void> {
  const { code, stderr } = await askNft([], text, signal);
  if (code !== 0) throw new Error(`nft: ${stderr.trim()}`);
}

export interface FirewallKeeper {
  /** Brings the kernel to what is given; each is applied after the one before. */
  follow(firewall: Firewall | undefined): void;
  /** Resolves when what was given last has been applied, or has failed to be. */
  settled(): Promise<void>;
  /** Looks whether it is still so. */
  keep(): Promise<void>;
  state(): FirewallState;
}

/** Makes it. A deployment that never had one leaves the kernel alone. */
export function makeFirewall(parts: { deployment: string; log: Logger; signal: AbortSignal }): FirewallKeeper {
  const { deployment, log, signal } = parts;
  const table = tableOf(deployment);
  let wanted: Firewall | undefined;
  let state: FirewallState = { state: 'off', detail: 'not told yet', text: '' };
  let last: Promise<void> = Promise.resolve();
  let knowsBridges: boolean | undefined;

  /** Whether both tables are there, and the fingerprint of those that are. */
  async function readFingerprints(): Promise<string[]> {
    const found = await Promise.all(
      ['inet', 'bridge'].map(async (family) => {
        const bounds = { timeoutMs: TIMEOUT_MS, signal };
        const { code, stdout } = await runCommand(['nft', '--stateless', 'list', 'table', family, table], bounds);
        if (code !== 0) return undefined;
        return /comment "espalier ([0-9a-f]+)"/.exec(stdout.toString('utf8'))?.[1] ?? '';
      }),
    );
    return found.filter((one) => one !== undefined);
  }

  async function apply(firewall: Firewall | undefined): Promise<void> {
    const there = await readFingerprints();
    if (firewall === undefined) {
      if (there.length > 0) await runNft(renderNoFirewall(table), signal);
      state = { state: 'off', detail: 'it is switched off for this server', text: '' };
      return;
    }
    knowsBridges ??= (await askNft(['--check'], BRIDGE_QUESTION, signal)).code === 0;
    const place = { table, tunnel: deviceOf(firewall.bridge), ssh: await readSshPorts(), knowsBridges };
    const { text, fingerprint } = renderFirewall(firewall, place);
    const isSo = there.length === 2 && there.every((one) => one === fingerprint);
    if (!isSo) {
      await runNft(text, signal);
      log.info({ mode: firewall.mode, fingerprint }, 'the firewall was set');
    }
    const lack = knowsBridges
      ? ''
      : '; containers of this server reach each other over IPv6: its kernel has no nft_meta_bridge';
    state = { state: 'on', detail: `${firewall.mode}${lack}`, text };
  }

  function enqueue(): Promise<void> {
    last = last
      .then(() => apply(wanted))
      .catch((thrown: unknown) => {
        if (signal.aborted) return;
        const detail = thrown instanceof Error ? thrown.message : String(thrown);
        state = { ...state, state: 'failed', detail };
        log.warn({ err: thrown }, 'the firewall is not as it should be');
      });
    return last;
  }

  return {
    follow(firewall) {
      wanted = firewall;
      void enqueue();
    },
    settled: () => last,
    keep: enqueue,
    state: () => state,
  };
}
