// How a server gives the shared address up while it is well, so that no visitor's request breaks: no new connection is begun (who
// tries, tries again after a second, and reaches the next holder), those that are open end after their answers, and only then
// the address goes. Apart from holding it.
import { runCommand } from '../engines/command.ts';
import type { Clock } from '../lib/clock.ts';
import { runNft } from './firewall.ts';

const COMMAND_MS = 5_000;
/** Whoever takes longer than this for one answer is cut off. */
const OPEN_MS = 10_000;
const LOOK_EVERY_MS = 50;

/** The address of a keepalived.conf of ours; undefined for any other text. */
export const parseAddress = (config: string): string | undefined => /^\s+(\d[\d.]+)\/32 dev /m.exec(config)?.[1];

/** A table of its own: the firewall's may be switched off. Made anew where it is there already. */
export function renderNoNewConnections(deployment: string, address: string): string {
  const table = `inet espalier-${deployment}-leave`;
  return `table ${table}
delete table ${table}
table ${table} {
    chain input {
        type filter hook input priority -300; policy accept;
        ip daddr ${address} tcp flags & (syn | ack) == syn drop
    }
}
`;
}

export function renderNewConnections(deployment: string): string {
  const table = `inet espalier-${deployment}-leave`;
  return `table ${table}\ndelete table ${table}\n`;
}

/** How many lines of `ss` are connections of visitors. Pure. */
export const countOpen = (text: string): number => text.split('\n').filter((line) => line.trim() !== '').length;

/**
 * Lets visitors at the address end what they began, then calls `give`, which takes the address away. `endConnections` has the edge
 * end each connection after its answer.
 */
export async function leaveAddress(
  parts: {
    deployment: string;
    address: string;
    endConnections(signal: AbortSignal): Promise<void>;
    give(): Promise<void>;
    clock: Clock;
  },
  signal: AbortSignal,
): Promise<void> {
  const { deployment, address, endConnections, give, clock } = parts;
  const ask = ['ss', '--no-header', '--numeric', '--tcp', 'state', 'established', 'state', 'close-wait'];
  const readOpen = async (): Promise<number> => {
    const { stdout } = await runCommand([...ask, 'src', address], { timeoutMs: COMMAND_MS, signal });
    return countOpen(stdout.toString('utf8'));
  };
  try {
    await runNft(renderNoNewConnections(deployment, address), signal);
    await endConnections(signal);
    const untilMs = clock.monotonicMs() + OPEN_MS;
    while ((await readOpen()) > 0 && clock.monotonicMs() < untilMs) await clock.wait(LOOK_EVERY_MS, signal);
  } finally {
    try {
      await give();
    } finally {
      await runNft(renderNewConnections(deployment), AbortSignal.timeout(COMMAND_MS));
    }
  }
}
