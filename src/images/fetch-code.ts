// Fetches a site's own code as a tar: from a Git repository at a ref, or from a plain folder of this machine. Apart because
// it is the only place where something from outside comes in, and because what came is written down exactly.
import { createHash } from 'node:crypto';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { type CommandResult, runCommand } from '../engines/command.ts';
import { imageProblems } from './problems.ts';
import type { CodeOrigin } from './store.ts';

/** Where code comes from. `ref`: a branch, a tag or a commit; the repository's own default unless told. */
export interface CodeSource {
  source: string;
  ref: string | null;
}

const FETCH_MS = 600_000;
const PACK_MS = 300_000;
/** Schemes that Git may use, and the short form `user@host:path`. */
const REMOTE = /^((https?|ssh|git|file):\/\/\S+|[\w.-]+@[\w.-]+:\S+)$/;

/** Whether it is a repository or a folder; `image.bad-code` when it is neither. */
async function kindOf({ source, ref }: CodeSource): Promise<'repository' | 'folder'> {
  assertNoSecret(source);
  if (REMOTE.test(source)) return 'repository';
  const bad = (why: string) => imageProblems.make('bad-code', { source, why });
  if (!isAbsolute(source)) throw bad('it is neither an address of a repository nor an absolute path');
  const is = async (...path: string[]) => (await stat(join(source, ...path)).catch(() => undefined)) !== undefined;
  if (!(await stat(source).catch(() => undefined))?.isDirectory()) throw bad('there is no such folder here');
  if ((await is('.git')) || ((await is('HEAD')) && (await is('objects')))) return 'repository';
  if (ref !== null) throw bad('a ref was named, and it is no Git repository');
  return 'folder';
}

/** An address is stored with the image and shown to whoever may look: what opens the repository must not be in it. */
function assertNoSecret(source: string): void {
  const url = URL.canParse(source) ? new URL(source) : undefined;
  if (url === undefined || (url.password === '' && (url.username === '' || !url.protocol.startsWith('http')))) return;
  const why =
    'it holds a user or a password; give the machine a deploy key, or Git a credential helper, and leave them out';
  throw imageProblems.make('bad-code', { source: `${url.protocol}//${url.host}${url.pathname}`, why });
}

/** The commands that bring one commit, and nothing of its history, into an empty repository. Nothing of it is executed. */
export function renderFetch(repository: string, { source, ref }: CodeSource): string[][] {
  const git = ['git', '-C', repository];
  return [
    ['git', 'init', '--quiet', '--bare', repository],
    [...git, 'fetch', '--quiet', '--depth=1', '--no-tags', '--', source, ref ?? 'HEAD'],
  ];
}

/** Packs a folder: owned by root, in a fixed order and without times, so that equal files give equal tars. */
export function renderPack(folder: string): string[] {
  const fixed = ['--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX', '--sort=name', '--mtime=@0'];
  return ['tar', ...fixed, '--exclude-vcs', '-C', folder, '-cf', '-', '.'];
}

/** Throws the problem that can be known without fetching. */
export async function assertSource(from: CodeSource): Promise<void> {
  await kindOf(from);
}

/** Fetches it to a tar at `to`; `work` is a folder for the way, removed at the end. Begun again it begins anew. */
export async function fetchCode(
  from: CodeSource,
  { to, work }: { to: string; work: string },
  signal: AbortSignal,
): Promise<CodeOrigin> {
  const { source, ref } = from;
  const run = async (argv: readonly string[], timeoutMs: number): Promise<CommandResult> => {
    const result = await runCommand(argv, { timeoutMs, signal });
    if (result.code === 0) return result;
    throw imageProblems.make('bad-code', { source, why: result.stderr.trim().slice(-500) });
  };
  if ((await kindOf(from)) === 'folder') {
    const { stdout } = await run(renderPack(source), PACK_MS);
    await writeFile(to, stdout);
    return { source, ref, commit: `sha256:${createHash('sha256').update(stdout).digest('hex')}`, subject: 'a folder' };
  }
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    for (const argv of renderFetch(work, from)) await run(argv, FETCH_MS);
    const git = ['git', '-C', work];
    const shown = await run([...git, 'show', '--no-patch', '--format=%H%n%s', 'FETCH_HEAD'], PACK_MS);
    const [commit = '', subject = ''] = shown.stdout.toString('utf8').split('\n');
    await run([...git, '-c', 'tar.umask=0022', 'archive', '--format=tar', `--output=${to}`, commit], PACK_MS);
    return { source, ref, commit, subject };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
