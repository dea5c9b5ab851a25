// The map from a host name to everything that HAProxy must know of it: one lookup a request, and one entry that
// changes as a whole. Pure functions: text of the file, and commands from what runs to what should be.
import type { ProxyHost } from './layout.ts';
import type { RuntimeCommand } from './runtime.ts';

/** One entry of a running map. A key may occur twice when somebody typed at the socket. */
export interface MapEntry {
  key: string;
  value: string;
}

// Above this many changes the whole map is put beside the old one and switched over in one go.
const WHOLE_MAP_ABOVE = 1000;
// HAProxy reads a payload into one buffer of 16 KiB.
const PAYLOAD_BYTES = 12_000;

/** The value of a host: `state/site/pool/requests per second/connections`; config.ts takes it apart by position. */
export function renderHostValue(host: ProxyHost): string {
  return [host.state, host.site, host.pool, host.requestsPerS, host.connections].join('/');
}

/** The map's file: a line a host, sorted, so that equal hosts give equal text. */
export function renderHostsMap(hosts: readonly ProxyHost[]): string {
  return hosts
    .map((host) => `${host.host} ${renderHostValue(host)}\n`)
    .sort()
    .join('');
}

/** Reads the answer to `show map`: lines of `0xREFERENCE KEY VALUE`. */
export function parseShowMap(answer: string): MapEntry[] {
  return answer.split('\n').flatMap((line) => {
    const [reference, key, value] = line.split(' ');
    return reference?.startsWith('0x') && key !== undefined && value !== undefined ? [{ key, value }] : [];
  });
}

function* chunkLines(lines: readonly string[]): Generator<string> {
  let chunk = '';
  for (const line of lines) {
    if (chunk.length + line.length > PAYLOAD_BYTES) {
      yield chunk;
      chunk = '';
    }
    chunk += line;
  }
  if (chunk !== '') yield chunk;
}

/** The commands that load a map anew beside the old one under the version HAProxy gave, and switch to it. */
export function renderWholeMap(path: string, version: string, hosts: readonly ProxyHost[]): RuntimeCommand[] {
  const lines = renderHostsMap(hosts).split(/(?<=\n)/);
  const chunks = [...chunkLines(lines)].map((chunk) => ({
    line: `add map @${version} ${path} <<\n${chunk}`,
    answers: [''],
  }));
  return [...chunks, { line: `commit map @${version} ${path}`, answers: [''] }];
}

/** What changes between the running map and the hosts. `whole`: so much that renderWholeMap is the better way. */
export interface MapDiff {
  changed: number;
  whole: boolean;
  commands: RuntimeCommand[];
}

/** The commands, one a host, that turn the running entries of the map at `path` into those of `hosts`. */
export function diffMap(path: string, hosts: readonly ProxyHost[], running: readonly MapEntry[]): MapDiff {
  const actual = new Map<string, string>();
  const twice = new Set<string>();
  for (const entry of running) {
    if (actual.has(entry.key)) twice.add(entry.key);
    actual.set(entry.key, entry.value);
  }
  const wanted = new Map(hosts.map((host) => [host.host, renderHostValue(host)]));
  const commands: RuntimeCommand[] = [];
  const changed = new Set<string>();
  const say = (key: string, line: string) => {
    changed.add(key);
    commands.push({ line, answers: [''] });
  };
  for (const [key, value] of wanted) {
    if (twice.has(key)) say(key, `del map ${path} ${key}`);
    if (!actual.has(key) || twice.has(key)) say(key, `add map ${path} ${key} ${value}`);
    else if (actual.get(key) !== value) say(key, `set map ${path} ${key} ${value}`);
  }
  for (const key of actual.keys()) if (!wanted.has(key)) say(key, `del map ${path} ${key}`);
  return { changed: changed.size, whole: changed.size > WHOLE_MAP_ABOVE, commands };
}
