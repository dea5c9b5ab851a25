// Reads recipes from their folders. Apart because this is where a person's mistakes are found: every error names its
// file and line. A recipe's hash covers all its files, so that an image knows what it was made from.
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isMap, isNode, LineCounter, type Node, type ParsedNode, parseDocument } from 'yaml';
import type { z } from 'zod';
import { type Problem, toProblem } from '../lib/errors.ts';
import { appProblems, type RecipeFault } from './problems.ts';
import { type Base, baseSchema, type Layer, layerSchema, type Recipe, recipeSchema } from './recipe.ts';

/** What was read, where from, and the hash of the folder it came from (64 hexadecimal digits). */
export interface Read<T> {
  folder: string;
  hash: string;
  value: T;
}
export interface ReadRecipe extends Read<Recipe> {
  kind: 'app' | 'service';
}

/** Reads a recipe's folder. Throws apps.recipe-missing, or apps.recipe-invalid with every fault's file and line. */
export async function readRecipe(folder: string): Promise<ReadRecipe> {
  for (const kind of ['app', 'service'] as const) {
    const file = join(folder, `${kind}.yaml`);
    const text = await readText(file);
    if (text === undefined) continue;
    const { value, lineOf } = parse(file, text, recipeSchema);
    const faults: RecipeFault[] = [];
    const fault = (key: string, why: string) => faults.push({ file, line: lineOf([key]), where: key, why });
    if (value.name !== basename(folder)) fault('name', `must be the folder's name, "${basename(folder)}"`);
    if (kind === 'app' && value.site === undefined) fault('site', 'is missing: an app says how a site is made');
    if (kind === 'service' && value.site !== undefined) fault('site', 'is only for apps');
    if (kind === 'service' && value.tasks.length > 0) fault('tasks', 'are only for apps');
    faults.push(...(await findMissing(folder, file, value, lineOf)));
    if (faults.length > 0) throw appProblems.make('recipe-invalid', { faults });
    return { kind, folder, hash: await hashFolder(folder), value };
  }
  throw appProblems.make('recipe-missing', { folder });
}

/** Reads every recipe in the folders' subfolders, sorted by name. A bad one becomes a problem and hides no other. */
export async function listRecipes(folders: readonly string[]): Promise<{ recipes: ReadRecipe[]; problems: Problem[] }> {
  const found = new Map<string, ReadRecipe>();
  const problems: Problem[] = [];
  for (const folder of folders) {
    for (const entry of (await readdir(folder)).sort()) {
      try {
        const recipe = await readRecipe(join(folder, entry));
        const other = found.get(entry);
        if (other !== undefined) {
          throw appProblems.make('recipe-twice', { name: entry, folders: [other.folder, recipe.folder] });
        }
        found.set(entry, recipe);
      } catch (thrown) {
        const problem = toProblem(thrown);
        if (problem.code !== 'apps.recipe-missing') problems.push(problem);
      }
    }
  }
  return { recipes: [...found.values()].sort((a, b) => (a.value.name < b.value.name ? -1 : 1)), problems };
}

/** Reads `apps/base`. */
export async function readBase(folder: string): Promise<Read<Base>> {
  const file = join(folder, 'base.yaml');
  const { value } = parse(file, await readFile(file, 'utf8'), baseSchema);
  return { folder, hash: await hashFolder(folder), value };
}

/** Reads a layer's folder, for instance `apps/node` with its `node.yaml`. */
export async function readLayer(folder: string): Promise<Read<Layer>> {
  const file = join(folder, `${basename(folder)}.yaml`);
  const { value, lineOf } = parse(file, await readFile(file, 'utf8'), layerSchema);
  const faults = await findMissing(folder, file, value, lineOf);
  if (faults.length > 0) throw appProblems.make('recipe-invalid', { faults });
  return { folder, hash: await hashFolder(folder), value };
}

type LineOf = (path: readonly PropertyKey[]) => number;

function parse<S extends z.ZodType>(file: string, text: string, schema: S): { value: z.output<S>; lineOf: LineOf } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const syntax = [...document.errors, ...document.warnings].map((error) => ({
    file,
    line: lines.linePos(error.pos[0]).line,
    where: '',
    why: (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, ''),
  }));
  if (syntax.length > 0) throw appProblems.make('recipe-invalid', { faults: syntax });
  const lineOf: LineOf = (path) => findLine(document.contents, path, lines);
  const parsed = schema.safeParse(document.toJS(), {
    error: (issue) => (issue.code === 'invalid_type' && issue.input === undefined ? 'is missing' : undefined),
  });
  if (parsed.success) return { value: parsed.data, lineOf };
  const faults = parsed.error.issues.flatMap((issue) => {
    // An unknown key stands on its own line, not on its parent's.
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return keys.map((key) => {
      const path = key === undefined ? issue.path : [...issue.path, key];
      const why = key === undefined ? issue.message : 'is no key of a recipe';
      return { file, line: lineOf(path), where: path.join('.'), why };
    });
  });
  throw appProblems.make('recipe-invalid', { faults: faults.sort((a, b) => a.line - b.line) });
}

/** The line of the deepest part of `path` that the document has; the first one for the whole. */
function findLine(contents: ParsedNode | null, path: readonly PropertyKey[], lines: LineCounter): number {
  let node: Node | null = contents;
  let offset = contents?.range?.[0] ?? 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(item.key) === String(step));
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = isNode(pair.value) ? pair.value : null;
    } else {
      const next: unknown = node !== null && 'items' in node ? (node.items as unknown[])[Number(step)] : undefined;
      if (!isNode(next)) break;
      node = next;
      offset = node.range?.[0] ?? offset;
    }
  }
  return lines.linePos(offset).line;
}

async function findMissing(folder: string, file: string, layer: Layer, lineOf: LineOf): Promise<RecipeFault[]> {
  const faults: RecipeFault[] = [];
  for (const key of ['files', 'prepare'] as const) {
    const path = layer[key];
    if (path === undefined) continue;
    const what = await lstat(join(folder, path)).catch(() => undefined);
    const fits = key === 'files' ? what?.isDirectory() : what?.isFile();
    if (!fits) {
      const why = `names ${path}, which is no ${key === 'files' ? 'folder' : 'file'} of the recipe`;
      faults.push({ file, line: lineOf([key]), where: key, why });
    }
  }
  return faults;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw thrown;
  }
}

/** SHA-256 over all paths, kinds, execute bits and contents below the folder, in order of path. */
async function hashFolder(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const path of paths.sort()) {
    const facts = await lstat(path);
    const content = facts.isSymbolicLink() ? await readlink(path) : await readFile(path);
    const kind = facts.isSymbolicLink() ? 'link' : facts.mode & 0o100 ? 'program' : 'file';
    hash.update(`${path.slice(folder.length)}\0${kind}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}
