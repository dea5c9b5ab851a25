// The mark in the folder that all servers of a cluster see, by which a machine proves that it sees the same one. Apart
// because the controller writes it and the command line of a joining machine reads it.
import { chown, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Nobody's id: a file system that changes owners (NFS with squashed ids) shows another. */
const MARK_UID = 64_999;

const markOf = (path: string): string => join(path, '.espalier-content');

/** Writes the mark into the folder, or leaves one that is there; the id in force. Throws when it cannot. */
export async function writeContentMark(path: string, id: string): Promise<string> {
  const found = await readFile(markOf(path), 'utf8').catch(() => undefined);
  if (found !== undefined) return found.trim();
  await mkdir(path, { recursive: true });
  const draft = `${markOf(path)}.new`;
  await writeFile(draft, `${id}\n`, { mode: 0o644 });
  await chown(draft, MARK_UID, MARK_UID);
  await rename(draft, markOf(path));
  return id;
}

/** Why this machine does not see the folder as the others do, as a clause; undefined when it does. */
export async function findContentFault(path: string, id: string): Promise<string | undefined> {
  const seen = await readFile(markOf(path), 'utf8').catch(() => undefined);
  if (seen === undefined) return `${path} is not mounted here, or is empty`;
  if (seen.trim() !== id) return `${path} here is another folder than on the other servers`;
  const { uid } = await stat(markOf(path));
  if (uid !== MARK_UID) return `${path} shows other owners here (uid ${uid} in place of ${MARK_UID}; squashed ids?)`;
  return undefined;
}
