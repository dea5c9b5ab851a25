// A database dump as people bring it: plain, or packed by gzip or zstd. Read once to see what tables it has, and once more on its way
// to the database server, where all dumps are packed by zstd. Little of it is ever in memory.
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Duplex, pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { transferProblems } from './problems.ts';

/** How files begin that are packed. */
const GZIP = '1f8b';
const ZSTD = '28b52ffd';
const UNREADABLE: Record<string, string> = { '425a68': 'bzip2', fd377a: 'xz', '504b03': 'zip' };
/** A statement that names a table does so within this much of its line. */
const LINE_BEGIN = 400;
/** MariaDB's and MySQL's limit of a table's name. */
const LONGEST_PREFIX = 32;

/** The file's bytes, unpacked. */
export async function readUnpacked(path: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
  const file = await open(path, 'r');
  const head = Buffer.alloc(4);
  try {
    await file.read(head, 0, 4, 0);
  } finally {
    await file.close();
  }
  const magic = head.toString('hex');
  const known = Object.entries(UNREADABLE).find(([begin]) => magic.startsWith(begin));
  if (known !== undefined)
    throw transferProblems.make('wrong-file', { why: `it is packed by ${known[1]}; gzip, zstd and plain are read` });
  const raw = createReadStream(path, { signal });
  if (magic.startsWith(GZIP)) return through(raw, createGunzip());
  return magic === ZSTD ? through(raw, createZstdDecompress()) : raw;
}

/** The same, packed by zstd. */
export async function readPacked(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  return through(Readable.from(await readUnpacked(path, signal)), createZstdCompress());
}

export interface SeenDump {
  tables: Set<string>;
  /** Databases that it says to go to. */
  databases: Set<string>;
  bytes: number;
}

/** The tables that a dump makes, from the beginnings of its lines. */
export async function lookAtDump(pieces: AsyncIterable<Uint8Array>): Promise<SeenDump> {
  const seen: SeenDump = { tables: new Set(), databases: new Set(), bytes: 0 };
  let begun = '';
  for await (const piece of pieces) {
    seen.bytes += piece.length;
    const text = begun + Buffer.from(piece).toString('latin1');
    for (const [, table, database] of text.matchAll(
      /^(?:CREATE TABLE (?:IF NOT EXISTS )?`?([^`\s(]+)`? ?\(|USE `?([^`;\s]+)`?;)/gim,
    )) {
      if (table !== undefined) seen.tables.add(table);
      if (database !== undefined) seen.databases.add(database);
    }
    begun = text.slice(text.lastIndexOf('\n') + 1).slice(0, LINE_BEGIN);
  }
  return seen;
}

/** What stands before the names that an app's tables end with; the problem says why there is no one such thing. */
export function findPrefix(app: string, ends: readonly string[], { tables, databases }: SeenDump): string {
  const wrong = (why: string) => transferProblems.make('wrong-dump', { app, why });
  if (databases.size > 1) throw wrong(`it is of several databases: ${[...databases].join(', ')}`);
  if (tables.size === 0) throw wrong('it makes no tables');
  const [first = '', ...rest] = ends;
  const prefixes = [...tables]
    .filter((table) => table.endsWith(first))
    .map((table) => table.slice(0, table.length - first.length))
    .filter((prefix) => rest.every((end) => tables.has(`${prefix}${end}`)));
  const [prefix] = prefixes;
  if (prefix === undefined) throw wrong(`it has no tables named like ${ends.join(', ')}`);
  if (prefixes.length > 1) throw wrong(`it holds several, with the prefixes ${prefixes.join(', ')}`);
  if (!/^\w*$/.test(prefix) || prefix.length > LONGEST_PREFIX) throw wrong(`the prefix "${prefix}" cannot be used`);
  return prefix;
}

/** An error on either side ends both. */
function through<T extends Duplex>(from: Readable, by: T): T {
  pipeline(from, by, () => undefined);
  return by;
}
