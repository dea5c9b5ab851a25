// The files of an installation from elsewhere: the folders that its recipe names become the site's, the texts that it names are read,
// and nothing else of what was sent is looked at.
import type { RecipeSite } from '../../apps/recipe.ts';
import {
  type RootCommand,
  renderFindNamed,
  renderMakeFolders,
  renderTakeFolder,
  renderTakeOver,
  renderTidyRights,
  renderUnpackNamed,
} from '../files.ts';
import { readServingNodes } from '../nodes.ts';
import { type SiteParts, secretsOf } from '../parts.ts';
import type { PlacedSite } from '../snapshots/take.ts';

/** The text of a settings file is some KiB; of one that is larger the beginning is read. */
const TEXT_BYTES = 64 * 1024;

type Rules = NonNullable<RecipeSite['import']>;

/** Takes the recipe's folders out of what was sent, makes those that a site of it has besides, and reads its texts. */
export async function takeFiles(
  parts: SiteParts,
  site: PlacedSite,
  { content, import: rules }: Pick<RecipeSite, 'content'> & { import: Rules },
  run: (commands: RootCommand[]) => Promise<string>,
) {
  const names = [...rules.files.map(({ from }) => from), ...rules.texts];
  await run(renderUnpackNamed(site.id, names));
  const find = async (name: string, type: 'd' | 'f') =>
    findShallowest(await run([renderFindNamed(site.id, name)]), type);
  const texts: Record<string, string> = {};
  const [node] = await readServingNodes(parts, site);
  for (const name of rules.texts) {
    const path = await find(name, 'f');
    if (path === undefined) continue;
    texts[name] = await readBeginning(parts, node.name, path);
  }
  const taken: string[] = [];
  // The deepest first: one may lie in another.
  for (const { from, to } of rules.files.toSorted((one, other) => other.from.length - one.from.length)) {
    const path = await find(from, 'd');
    if (path === undefined) continue;
    await run(renderTakeFolder(site.id, path, to));
    taken.push(from);
  }
  await run([...renderMakeFolders(site.id, content), ...renderTidyRights(site.id), ...renderTakeOver(site)]);
  const secrets = await storeFoundSecrets(parts, site, rules, Object.values(texts).join('\n'));
  return { taken, secrets, texts: withoutSecrets(texts) };
}

/** Of lines `DEPTH TYPE PATH`, the path nearest to the top. */
export function findShallowest(listing: string, type: 'd' | 'f'): string | undefined {
  return listing
    .split('\n')
    .map((line) => /^(\d+) (\w) (.*)$/.exec(line))
    .flatMap((found) =>
      found?.[2] === type && found[3] !== undefined ? [{ depth: Number(found[1]), path: found[3] }] : [],
    )
    .sort((one, other) => one.depth - other.depth || (one.path < other.path ? -1 : 1))[0]?.path;
}

/** Secrets that the data cannot be read without, from the installation's own settings. Gives their names. */
async function storeFoundSecrets(parts: SiteParts, site: PlacedSite, rules: Rules, text: string): Promise<string[]> {
  const found = Object.entries(rules.secrets).flatMap(([name, pattern]) => {
    const value = new RegExp(pattern, 'm').exec(text)?.[1];
    return value === undefined ? [] : [{ name, value }];
  });
  if (found.length === 0) return [];
  await parts.store.transaction(async (sql) => {
    for (const { name, value } of found) await parts.secrets.put(sql, `${secretsOf(site.id)}app-${name}`, value);
  });
  return found.map(({ name }) => name);
}

/** A step's output is kept and shown: of the texts only lines that say no password. */
function withoutSecrets(texts: Record<string, string>): Record<string, string> {
  const isOpen = (line: string) => !/pass|secret|key|token|salt/i.test(line);
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, text.split('\n').filter(isOpen).join('\n')]),
  );
}

/** The first part of a file, whatever its size. */
async function readBeginning(parts: SiteParts, node: string, path: string): Promise<string> {
  const enough = new AbortController();
  const read: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of await parts.pools.fleet.files.readPieces(node, path, { signal: enough.signal })) {
    read.push(piece);
    bytes += piece.length;
    if (bytes >= TEXT_BYTES) break;
  }
  enough.abort();
  return Buffer.concat(read).toString('utf8', 0, TEXT_BYTES);
}
