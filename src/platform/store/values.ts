// The value rules of store.ts: how JavaScript values become parameters and database values become JavaScript, by
// type OID, as text. Apart from the engines because they are what makes both engines alike.

/** A parameter as PostgreSQL's text form; null for null and undefined. Both engines take text for every type. */
export function toText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return renderArray(value);
  if (typeof value === 'object') return JSON.stringify(value);
  throw new TypeError(`a ${typeof value} cannot be a query parameter`);
}

function renderArray(items: readonly unknown[]): string {
  return `{${items.map(renderElement).join(',')}}`;
}

/** What must be escaped between the quotes of an array's element. */
const SPECIAL = /["\\]/g;

function renderElement(item: unknown): string {
  if (typeof item === 'number') return String(item);
  if (Array.isArray(item)) return renderArray(item);
  const text = toText(item);
  if (text === null) return 'NULL';
  return text.search(SPECIAL) < 0 ? `"${text}"` : `"${text.replaceAll(SPECIAL, '\\$&')}"`;
}

type Parse = (text: string) => unknown;

function parseBigint(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

// Both engines' sessions run in UTC with DateStyle ISO: `2026-11-21 08:55:55.123456+00`. `infinity` has no offset and stays.
function parseTimestamptz(text: string): string {
  return text.endsWith('+00') ? `${text.slice(0, -3).replace(' ', 'T')}Z` : text;
}

const asText: Parse = (text) => text;

/** What becomes of a value by the OID of its type (pg_type.dat); every other type stays text. */
export const parsers: Readonly<Record<number, Parse>> = {
  16: (text) => text === 't',
  17: (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex')),
  20: parseBigint,
  21: Number,
  23: Number,
  26: Number,
  114: JSON.parse,
  700: Number,
  701: Number,
  1082: asText,
  1083: asText,
  1114: asText,
  1184: parseTimestamptz,
  1186: asText,
  1700: asText,
  3802: JSON.parse,
};

/** The element type of each array type that our tables may use. */
const elementOf: Readonly<Record<number, number>> = {
  1000: 16,
  1016: 20,
  1005: 21,
  1007: 23,
  1021: 700,
  1022: 701,
  1009: 25,
  1015: 1043,
  1182: 1082,
  1185: 1184,
  3807: 3802,
};

/** The parser of one type; `parseTextArray` splits an array's text into (nested) texts and nulls. */
export function parserOf(oid: number, parseTextArray: (text: string) => unknown[]): Parse {
  const element = elementOf[oid];
  if (element === undefined) return parsers[oid] ?? asText;
  const parse = parsers[element] ?? asText;
  const parseElement = (item: unknown): unknown =>
    Array.isArray(item) ? item.map(parseElement) : typeof item === 'string' ? parse(item) : null;
  return (text) => {
    // Numbers and simple words, by the thousand in hot paths: the careful way costs several times as much.
    if (!PLAIN_ARRAY.test(text) || text.includes('NULL')) return parseTextArray(text).map(parseElement);
    if (text === '{}') return [];
    const items = text.slice(1, -1).split(',');
    return parse === asText ? items : items.map(parse);
  };
}

/** An array of one dimension in whose text nothing is quoted. */
const PLAIN_ARRAY = /^\{[^"\\{}]*\}$/;
