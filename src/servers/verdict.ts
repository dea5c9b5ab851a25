// Whether a silent server is gone, so that it may be fenced, or only out of the controller's hearing. A pure decision; what it
// is made from is gathered by watch.ts. Fencing too much costs places, never data; making anew without it would cost data.
import { isApart, type ServerRow } from './store.ts';
import type { Testimony } from './witnesses.ts';

export interface Verdict {
  gone: boolean;
  /** Somebody hears it, or there is nobody who could run anything in its place. */
  alive: boolean;
  /** The sentence that people read. */
  reason: string;
}

export interface Evidence {
  servers: readonly ServerRow[];
  /** The server on which the controller runs; undefined while there is one server alone. */
  controller: string | undefined;
  /** What the others say of it. */
  testimony: Testimony;
  /** What the engine's cluster says of it; asked only when nobody else says anything. */
  isOffline: boolean | undefined;
  /** How long heartbeats wait at the controller itself. */
  behindMs: number;
}

/**
 * Whoever is silent for so long is not counted as heard, although it is not lost yet: of several that fall silent together one is
 * always the first.
 */
const SILENT_MS = 5_000;

const list = (names: readonly string[]): string => [...names].sort().join(', ');

/** Judges a server that is lost. */
export function judgeLost(
  server: ServerRow,
  { servers, controller, testimony, isOffline, behindMs }: Evidence,
): Verdict {
  const silent = 'no heartbeat of its agent';
  const stay = (why: string, alive = false): Verdict => ({ gone: false, alive, reason: `${silent}; ${why}` });
  if (controller === undefined) return stay('it is the only server', true);
  if (controller === server.name) return stay('the controller runs there, so only its agent is away', true);
  const { hear, deaf, refused } = testimony;
  if (refused !== undefined)
    return { gone: false, alive: true, reason: `its agent is there and not let in: ${refused} Its nodes serve on` };
  if (hear.length > 0 && hear.length >= deaf.length)
    return stay(
      `but ${list(hear)} ${hear.length === 1 ? 'hears' : 'hear'} it: its nodes serve on, and nothing of it is made anew`,
      true,
    );
  if (deaf.length === 0 && isOffline !== true)
    return stay('nobody else can say yet whether it is there, so nothing of it is made anew');
  const known = servers.filter(({ state }) => state !== 'joining' && !isApart(state));
  const heard = known.filter(({ name, silentMs = Infinity }) => name === controller || silentMs < SILENT_MS + behindMs);
  // Whoever hears less than half of all is more likely cut off itself. Half is enough: the controller's own server is among them.
  if (heard.length * 2 < known.length) {
    const count = `${known.length - heard.length} of ${known.length} servers are silent at once`;
    return stay(`${count}, so this one may be cut off from them: none is fenced, nothing is made anew`);
  }
  const by =
    deaf.length > 0
      ? `${list(deaf)} ${deaf.length === 1 ? 'does' : 'do'} not hear it either`
      : 'its cluster counts it as offline';
  return { gone: true, alive: false, reason: `${silent}, and ${by}` };
}
