// The file of an exported site, written in pieces and read in pieces: never more than a piece of it is in memory.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';
import { paddingAfter, parseTarHeader, renderTarHeader, TAR_BLOCK, TAR_END } from '../../lib/tar.ts';
import {
  type CarriedSite,
  carriedSiteSchema,
  FORMAT,
  FORMAT_VERSION,
  LARGEST_DOCUMENT,
  MANIFEST,
  type Manifest,
  manifestSchema,
  type PartName,
} from './format.ts';
import { transferProblems } from './problems.ts';

/** A member of the archive, by what it is made of. */
export interface Member {
  name: string;
  bytes: number;
  /** Opened when its turn has come. */
  open(): Promise<AsyncIterable<Uint8Array>>;
}

export const toMember = (name: string, content: Buffer): Member => ({
  name,
  bytes: content.length,
  open: async () =>
    (async function* () {
      yield content;
    })(),
});

/** How many bytes the archive of these members has. */
export const sizeOfArchive = (members: readonly Pick<Member, 'bytes'>[]): number =>
  members.reduce((sum, { bytes }) => sum + TAR_BLOCK + bytes + paddingAfter(bytes).length, TAR_END.length);

/** The archive. Throws when a member is not as long as it said. */
export async function* renderArchive(members: readonly Member[], mtimeS: number): AsyncGenerator<Uint8Array> {
  for (const { name, bytes, open: openMember } of members) {
    yield renderTarHeader(Buffer.from(name), { size: bytes, type: '0', mode: 0o600, mtimeS });
    let written = 0;
    for await (const piece of await openMember()) {
      written += piece.length;
      yield piece;
    }
    if (written !== bytes) throw new RangeError(`${name} has ${written} bytes, not ${bytes}`);
    yield paddingAfter(bytes);
  }
  yield TAR_END;
}

export interface ReadArchive {
  manifest: Manifest;
  site: CarriedSite;
  /** Where a part lies in the file. */
  parts: Record<PartName, { offset: number; bytes: number; sha256: string }>;
}

/** Reads the heads of an exported site's file; the problem says what is wrong with it. Checksums are verifyPart's business. */
export async function readArchive(path: string): Promise<ReadArchive> {
  const members = await listMembers(path);
  const read = async <T>(name: string, schema: z.ZodType<T>): Promise<{ text: Buffer; value: T }> => {
    const member = members.get(name);
    if (member === undefined) throw notAnExport(`it has no ${name}`);
    if (member.bytes > LARGEST_DOCUMENT) throw notAnExport(`its ${name} is too large`);
    const text = await buffer(readRange(path, member));
    const parsed = schema.safeParse(parseJson(text, name));
    if (parsed.success) return { text, value: parsed.data };
    const [issue] = parsed.error.issues;
    throw notAnExport(`its ${name} is not as it should be: ${issue?.path.join('.')}: ${issue?.message}`);
  };
  const head = parseJson((await read(MANIFEST, z.unknown())).text, MANIFEST) as Partial<Manifest> | null;
  if (head?.format !== FORMAT) throw notAnExport('its manifest is not of an exported site');
  if (typeof head.version === 'number' && head.version > FORMAT_VERSION)
    throw transferProblems.make('newer-format', { version: head.version, known: FORMAT_VERSION });
  const { value: manifest } = await read(MANIFEST, manifestSchema);
  const place = (name: PartName) => {
    const part = manifest.parts.find((one) => one.name === name);
    const member = members.get(name);
    if (part === undefined || member?.bytes !== part.bytes) throw notAnExport(`it was cut off, or lacks ${name}`);
    return { ...part, offset: member.offset };
  };
  const parts = {
    'site.json': place('site.json'),
    'database.sql.zst': place('database.sql.zst'),
    'files.tar': place('files.tar'),
  };
  const { text, value: site } = await read('site.json', carriedSiteSchema);
  if (createHash('sha256').update(text).digest('hex') !== parts['site.json'].sha256)
    throw transferProblems.make('damaged', { part: 'site.json' });
  return { manifest, site, parts };
}

/** Throws `transfer.damaged` unless the part's bytes are those that the manifest tells of. */
export async function verifyPart(
  path: string,
  name: PartName,
  part: ReadArchive['parts'][PartName],
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256');
  for await (const piece of readRange(path, part)) {
    signal.throwIfAborted();
    hash.update(piece);
  }
  if (hash.digest('hex') !== part.sha256) throw transferProblems.make('damaged', { part: name });
}

/** Some bytes of a file, in pieces. */
export function readRange(path: string, { offset, bytes }: { offset: number; bytes: number }): AsyncIterable<Buffer> {
  if (bytes === 0) return nothing();
  return createReadStream(path, { start: offset, end: offset + bytes - 1, highWaterMark: 256 * 1024 });
}

async function* nothing(): AsyncGenerator<Buffer> {}

async function listMembers(path: string): Promise<Map<string, { offset: number; bytes: number }>> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const members = new Map<string, { offset: number; bytes: number }>();
    const block = Buffer.alloc(TAR_BLOCK);
    for (let at = 0; at + TAR_BLOCK <= size; ) {
      await file.read(block, 0, TAR_BLOCK, at);
      const header = parseTarHeader(block);
      if (header === undefined) break;
      at += TAR_BLOCK;
      if (at + header.size > size) throw notAnExport('it was cut off');
      members.set(header.name, { offset: at, bytes: header.size });
      at += header.size + paddingAfter(header.size).length;
    }
    return members;
  } finally {
    await file.close();
  }
}

function parseJson(text: Buffer, name: string): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch (thrown) {
    throw notAnExport(`its ${name} is no JSON`, thrown);
  }
}

const notAnExport = (why: string, cause?: unknown) => transferProblems.make('not-an-export', { why }, cause);
