// The reference pages that are made from the code: errors from every catalogue, the OpenAPI document from every route.
//   node src/api/reference.ts    writes docs/reference/errors.md and docs/reference/openapi.json
// Finds catalogues and routes by themselves, so that no list has to be kept; a test holds the pages current.
import { globSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Catalogue, ProblemEntry } from '../lib/errors.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { joinRoutes } from './api.ts';
import { makeEventRoutes } from './event-routes.ts';
import { renderOpenApi } from './openapi-document.ts';
import { makeOperationRoutes } from './operation-routes.ts';
import { makeStateRoutes } from './state-routes.ts';
import { makeTokenRoutes } from './token-routes.ts';

const SRC = resolve(import.meta.dirname, '..');
const DOCS = resolve(SRC, '../docs/reference');

type AnyCatalogue = Catalogue<Record<string, ProblemEntry<unknown>>>;

async function importAll(pattern: string, isWanted: (file: string) => boolean = () => true): Promise<unknown[]> {
  const exported: unknown[] = [];
  const files = globSync(pattern, { cwd: SRC }).filter((file) => !file.endsWith('.test.ts') && isWanted(file));
  for (const file of files.sort()) {
    const module = (await import(join(SRC, file))) as Record<string, unknown>;
    exported.push(...Object.values(module));
  }
  return exported;
}

const isCatalogue = (value: unknown): value is AnyCatalogue =>
  typeof value === 'object' && value !== null && 'room' in value && 'entries' in value;

/** Every catalogue of problems, by its room's name. */
export async function listCatalogues(): Promise<AnyCatalogue[]> {
  const exported = await importAll('**/*.ts', (file) =>
    /\bmakeCatalogue\(/.test(readFileSync(join(SRC, file), 'utf8')),
  );
  return exported.filter(isCatalogue).sort((a, b) => (a.room < b.room ? -1 : 1));
}

/**
 * Stands for what a sentence is told: reads as its own name in text, whatever is done to it on the way
 * (`a.hosts.map(…).join(…)` reads as `hosts`).
 */
function makePlaceholder(name: string): unknown {
  const text = () => (name === '' ? '…' : `‹${name}›`);
  return new Proxy(() => undefined, {
    get(_, key) {
      if (key === Symbol.toPrimitive || key === 'toString') return text;
      if (key === Symbol.iterator) return () => [makePlaceholder(name)][Symbol.iterator]();
      if (typeof key === 'symbol') return undefined;
      return makePlaceholder(name === '' ? key : name);
    },
    apply: () => makePlaceholder(name),
  });
}

function readSentence(sentence: (about: unknown) => string): string {
  try {
    return sentence(makePlaceholder('')).replaceAll(/\s+/g, ' ');
  } catch {
    return '';
  }
}

/** docs/reference/errors.md. */
export function renderErrors(catalogues: readonly AnyCatalogue[]): string {
  const head = `# Errors

Every problem that Espalier tells, on the command line and in the API (RFC 9457, \`application/problem+json\`). The code is
stable; the sentences may become better. ‹Words in brackets› stand for what the sentence is about. This page is made from
the code by \`node src/api/reference.ts\`.
`;
  const rooms = catalogues.map(({ room, entries }) => {
    const problems = Object.entries(entries).map(([name, { status, title, retryable, detail, todo }]) => {
      const code = `${room}.${name}`;
      const waits = retryable === true ? ', operations wait and try again' : '';
      const lines = [detail, todo].map(readSentence).filter((line) => line !== '');
      return `### <a id="${code.replace('.', '-')}"></a>${code}\n\n${title} (HTTP ${status}${waits}).\n\n${lines.map((line) => `- ${line}\n`).join('')}`;
    });
    return `## ${room}\n\n${problems.join('\n')}`;
  });
  return [head, ...rooms].join('\n');
}

/** All routes, made over placeholders: routes only use what they are given when they are asked. */
async function listRoutes(): Promise<ApiRoutes[]> {
  const nothing = makePlaceholder('');
  // A room's makeXRoutes takes one argument, its parts; what takes more is shared by rooms.
  const isMaker = (value: unknown): boolean =>
    typeof value === 'function' && value.length === 1 && /^make\w+Routes$/.test(value.name);
  const makers = (await importAll('**/*routes.ts', (file) => !file.startsWith('api/'))).filter(isMaker);
  return [
    makeStateRoutes(nothing as Parameters<typeof makeStateRoutes>[0]),
    makeOperationRoutes(nothing as Parameters<typeof makeOperationRoutes>[0]),
    makeEventRoutes(...([nothing, nothing, nothing] as Parameters<typeof makeEventRoutes>)),
    makeTokenRoutes(nothing as Parameters<typeof makeTokenRoutes>[0]),
    ...makers.map((make) => (make as (parts: unknown) => ApiRoutes)(nothing)),
  ];
}

/** docs/reference/openapi.json. */
export async function renderOpenApiPage(): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(SRC, '../package.json'), 'utf8')) as { version: string };
  return `${JSON.stringify(renderOpenApi(joinRoutes(await listRoutes()), version), null, 2)}\n`;
}

/** File name and text of each page. */
export async function renderReference(): Promise<[file: string, text: string][]> {
  return [
    [join(DOCS, 'errors.md'), renderErrors(await listCatalogues())],
    [join(DOCS, 'openapi.json'), await renderOpenApiPage()],
  ];
}

if (import.meta.main) {
  await mkdir(DOCS, { recursive: true });
  for (const [file, text] of await renderReference()) await writeFile(file, text);
}
