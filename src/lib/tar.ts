// The headers of tar archives (POSIX ustar, which every tar reads; sizes above 8 GiB as GNU and BSD tar say them). Apart
// because the fleet packs small trees by them, sites are carried in one file by them, and neither may know the other.

export const TAR_BLOCK = 512;
/** Longest name that fits in a ustar header. */
export const TAR_NAME_BYTES = 100;
/** The two empty blocks at the end of an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

const LARGEST_OCTAL = 8 ** 11 - 1;

export interface TarHeader {
  mode?: number;
  uid?: number;
  gid?: number;
  /** Bytes. */
  size: number;
  /** `0` a file, `5` a folder, `2` a link, `L` and `K` GNU's long names. */
  type: string;
  link?: Buffer;
  /** Seconds since 1970; 0 unless told. */
  mtimeS?: number;
}

/** One header block. Field offsets and lengths are those of POSIX.1-1988 ustar. */
export function renderTarHeader(name: Buffer, about: TarHeader): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  name.copy(header, 0, 0, TAR_NAME_BYTES);
  octal(about.mode ?? 0, 100, 8);
  octal(about.uid ?? 0, 108, 8);
  octal(about.gid ?? 0, 116, 8);
  if (about.size <= LARGEST_OCTAL) octal(about.size, 124, 12);
  else {
    header.writeUInt8(0x80, 124);
    header.writeBigUInt64BE(BigInt(about.size), 128);
  }
  octal(about.mtimeS ?? 0, 136, 12);
  header.write(about.type, 156, 'latin1');
  about.link?.copy(header, 157, 0, TAR_NAME_BYTES);
  header.write('ustar\0' + '00', 257, 'latin1');
  header.fill(' ', 148, 156);
  header.write(`${sumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Name and size of a header block; undefined for anything else, and for the empty blocks at the end. */
export function parseTarHeader(block: Buffer): { name: string; size: number; type: string } | undefined {
  if (block.length < TAR_BLOCK || block.toString('latin1', 257, 262) !== 'ustar') return undefined;
  const blank = Buffer.from(block);
  blank.fill(' ', 148, 156);
  if (Number.parseInt(block.toString('latin1', 148, 156), 8) !== sumOf(blank)) return undefined;
  const text = (from: number, to: number) => block.toString('utf8', from, to).replace(/\0.*$/s, '');
  const isLarge = (block[124] ?? 0) >= 0x80;
  const size = isLarge ? Number(block.readBigUInt64BE(128)) : Number.parseInt(text(124, 136), 8);
  return { name: text(0, TAR_NAME_BYTES), size, type: block.toString('latin1', 156, 157) };
}

/** What follows a content of so many bytes up to the next block. */
export const paddingAfter = (bytes: number): Buffer => Buffer.alloc((TAR_BLOCK - (bytes % TAR_BLOCK)) % TAR_BLOCK);

const sumOf = (header: Buffer): number => header.reduce((total, byte) => total + byte, 0);
