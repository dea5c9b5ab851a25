// D-Bus messages as bytes and back (D-Bus Specification, "Message Protocol"). Pure, and apart from the connection, so that
// tests compare bytes. Little-endian only: both ends are on one machine. No file descriptors.
//
// Types as JavaScript: y n q i u d → number; x t → bigint; b → boolean; s o g → string; arrays and structs → array,
// a dictionary → array of [key, value]; v → { signature, value }.

export interface DbusVariant {
  readonly signature: string;
  readonly value: DbusValue;
}
export type DbusValue = number | bigint | boolean | string | DbusVariant | readonly DbusValue[];

export type DbusKind = 'call' | 'reply' | 'error' | 'signal';

export interface DbusHeader {
  kind: DbusKind;
  serial: number;
  /** Of replies and errors: the call's serial. */
  replyTo?: number;
  path?: string;
  interface?: string;
  member?: string;
  /** Of errors: their name, such as `org.freedesktop.systemd1.UnitExists`. */
  errorName?: string;
  /** Of the body. */
  signature: string;
}

/** A received message; its body is read by `parseValues(signature, body)` when somebody wants it. */
export interface DbusMessage extends DbusHeader {
  body: Buffer;
}

const KINDS: readonly DbusKind[] = ['call', 'reply', 'error', 'signal'];
const LITTLE_ENDIAN = 0x6c;
const VERSION = 1;
/** The fixed part of a header: up to and with the length of the array of fields. */
const FIXED_BYTES = 16;
/** The specification's own bound. */
const MESSAGE_MOST_BYTES = 128 * 1024 * 1024;
const ALIGNMENT: Readonly<Record<string, number>> = {
  ...{ y: 1, g: 1, v: 1, n: 2, q: 2, b: 4, i: 4, u: 4, s: 4, o: 4, a: 4, x: 8, t: 8, d: 8, '(': 8, '{': 8 },
};
/** Codes of header fields and their types; `signature` (8) is written from the message's own. */
const FIELDS = [
  ['path', 1, 'o'],
  ['interface', 2, 's'],
  ['member', 3, 's'],
  ['errorName', 4, 's'],
  ['replyTo', 5, 'u'],
] as const;
const SIGNATURE_FIELD = 8;

function alignmentOf(type: string): number {
  const alignment = ALIGNMENT[type[0] ?? ''];
  if (alignment === undefined) throw new Error(`"${type}" is no D-Bus type that is known here`);
  return alignment;
}

/** A signature's complete types: `sa{sv}u` → `s`, `a{sv}`, `u`. */
export function splitSignature(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const start = at;
    while (signature[at] === 'a') at++;
    let depth = 0;
    do {
      const char = signature[at++];
      if (char === undefined) throw new Error(`the D-Bus signature "${signature}" is not complete`);
      if (char === '(' || char === '{') depth++;
      else if (char === ')' || char === '}') depth--;
    } while (depth > 0);
    types.push(signature.slice(start, at));
  }
  return types;
}

/** Writes values of the types of `signature`, as if at offset 0 of a message (or body: it begins at a multiple of 8). */
export function renderValues(signature: string, values: readonly DbusValue[]): Buffer {
  const writer = makeWriter();
  for (const [index, type] of splitSignature(signature).entries()) writer.write(type, values[index] as DbusValue);
  return writer.bytes();
}

function makeWriter() {
  let buffer = Buffer.alloc(1024);
  let at = 0;
  function reserve(bytes: number): void {
    if (at + bytes <= buffer.length) return;
    const larger = Buffer.alloc(Math.max(buffer.length * 2, at + bytes));
    buffer.copy(larger);
    buffer = larger;
  }
  function align(to: number): void {
    const next = Math.ceil(at / to) * to;
    reserve(next - at);
    at = next;
  }
  function text(value: string, lengthBytes: 1 | 4): void {
    const length = Buffer.byteLength(value);
    reserve(lengthBytes + length + 1);
    buffer.writeUIntLE(length, at, lengthBytes);
    buffer.write(value, at + lengthBytes);
    at += lengthBytes + length + 1;
  }
  function number(bytes: number, put: (offset: number) => void): void {
    reserve(bytes);
    put(at);
    at += bytes;
  }
  function write(type: string, value: DbusValue): void {
    align(alignmentOf(type));
    const code = type[0];
    if (code === 's' || code === 'o') text(value as string, 4);
    else if (code === 'g') text(value as string, 1);
    else if (code === 'y') number(1, (offset) => buffer.writeUInt8(value as number, offset));
    else if (code === 'n') number(2, (offset) => buffer.writeInt16LE(value as number, offset));
    else if (code === 'q') number(2, (offset) => buffer.writeUInt16LE(value as number, offset));
    else if (code === 'i') number(4, (offset) => buffer.writeInt32LE(value as number, offset));
    else if (code === 'u') number(4, (offset) => buffer.writeUInt32LE(value as number, offset));
    else if (code === 'b') number(4, (offset) => buffer.writeUInt32LE(value === true ? 1 : 0, offset));
    else if (code === 'x') number(8, (offset) => buffer.writeBigInt64LE(value as bigint, offset));
    else if (code === 't') number(8, (offset) => buffer.writeBigUInt64LE(value as bigint, offset));
    else if (code === 'd') number(8, (offset) => buffer.writeDoubleLE(value as number, offset));
    else if (code === 'v') {
      const variant = value as DbusVariant;
      text(variant.signature, 1);
      write(variant.signature, variant.value);
    } else if (code === 'a') {
      const element = type.slice(1);
      const lengthAt = at;
      number(4, () => undefined);
      align(alignmentOf(element));
      const start = at;
      for (const each of value as readonly DbusValue[]) write(element, each);
      buffer.writeUInt32LE(at - start, lengthAt);
    } else {
      const parts = value as readonly DbusValue[];
      for (const [index, part] of splitSignature(type.slice(1, -1)).entries()) write(part, parts[index] as DbusValue);
    }
  }
  return { write, align, bytes: () => buffer.subarray(0, at) };
}

/** Reads values of the types of `signature` from a body. */
export function parseValues(signature: string, bytes: Buffer): DbusValue[] {
  const reader = makeReader(bytes, 0);
  return splitSignature(signature).map((type) => reader.read(type));
}

function makeReader(bytes: Buffer, start: number) {
  let at = start;
  function align(to: number): void {
    at = Math.ceil(at / to) * to;
  }
  function take(size: number): number {
    const offset = at;
    at += size;
    return offset;
  }
  function text(length: number): string {
    const offset = take(length + 1);
    return bytes.toString('utf8', offset, offset + length);
  }
  function read(type: string): DbusValue {
    align(alignmentOf(type));
    const code = type[0];
    if (code === 's' || code === 'o') return text(bytes.readUInt32LE(take(4)));
    if (code === 'g') return text(bytes.readUInt8(take(1)));
    if (code === 'y') return bytes.readUInt8(take(1));
    if (code === 'n') return bytes.readInt16LE(take(2));
    if (code === 'q') return bytes.readUInt16LE(take(2));
    if (code === 'i') return bytes.readInt32LE(take(4));
    if (code === 'u') return bytes.readUInt32LE(take(4));
    if (code === 'b') return bytes.readUInt32LE(take(4)) !== 0;
    if (code === 'x') return bytes.readBigInt64LE(take(8));
    if (code === 't') return bytes.readBigUInt64LE(take(8));
    if (code === 'd') return bytes.readDoubleLE(take(8));
    if (code === 'v') {
      const signature = text(bytes.readUInt8(take(1)));
      return { signature, value: read(signature) };
    }
    if (code === 'a') {
      const length = bytes.readUInt32LE(take(4));
      const element = type.slice(1);
      align(alignmentOf(element));
      const end = at + length;
      const values: DbusValue[] = [];
      while (at < end) values.push(read(element));
      return values;
    }
    return splitSignature(type.slice(1, -1)).map(read);
  }
  return { read };
}

/** A message as bytes; `values` are of the types of its signature. */
export function renderMessage(message: DbusHeader, values: readonly DbusValue[]): Buffer {
  const body = renderValues(message.signature, values);
  const fields: DbusValue[] = [];
  for (const [name, code, signature] of FIELDS) {
    const value = message[name];
    if (value !== undefined) fields.push([code, { signature, value }]);
  }
  if (message.signature !== '') fields.push([SIGNATURE_FIELD, { signature: 'g', value: message.signature }]);
  const header = makeWriter();
  for (const byte of [LITTLE_ENDIAN, KINDS.indexOf(message.kind) + 1, 0, VERSION]) header.write('y', byte);
  header.write('u', body.length);
  header.write('u', message.serial);
  header.write('a(yv)', fields);
  header.align(8);
  return Buffer.concat([header.bytes(), body]);
}

/** How many bytes the message at the start of `bytes` has; undefined while too little of it is there. */
export function measureMessage(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  if (bytes[0] !== LITTLE_ENDIAN || bytes[3] !== VERSION) throw new Error('these bytes are no D-Bus message');
  const header = Math.ceil((FIXED_BYTES + bytes.readUInt32LE(12)) / 8) * 8;
  const size = header + bytes.readUInt32LE(4);
  if (size > MESSAGE_MOST_BYTES) throw new Error(`a D-Bus message of ${size} bytes is more than is allowed`);
  return size;
}

/** Reads one whole message. Its body is a view of `bytes`. */
export function parseMessage(bytes: Buffer): DbusMessage {
  const kind = KINDS[bytes.readUInt8(1) - 1];
  if (kind === undefined) throw new Error('a D-Bus message of an unknown kind');
  const body = bytes.subarray(bytes.length - bytes.readUInt32LE(4));
  const message: DbusMessage = { kind, serial: bytes.readUInt32LE(8), signature: '', body };
  for (const field of makeReader(bytes, FIXED_BYTES - 4).read('a(yv)') as readonly [number, DbusVariant][]) {
    const [code, { value }] = field;
    const known = FIELDS.find((each) => each[1] === code);
    if (known !== undefined) Object.assign(message, { [known[0]]: value });
    else if (code === SIGNATURE_FIELD) message.signature = value as string;
  }
  return message;
}
