// The file in which a server keeps who it is: its agent's private key, its certificate and the authority that it trusts, all
// PEM, in one file so that a renewal is one rename. Apart because the command line writes it on joining, the agent later.
import { readFile, rename, writeFile } from 'node:fs/promises';

export interface ServerIdentity {
  key: string;
  certificate: string;
  authority: string;
}

const BLOCK = /-----BEGIN ([A-Z ]+)-----\n[\s\S]+?-----END \1-----\n/g;

/** Reads it; undefined when there is none, or it is not whole. */
export async function readIdentity(path: string): Promise<ServerIdentity | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const [key, certificate, authority] = (text.match(BLOCK) ?? []) as (string | undefined)[];
  if (key === undefined || certificate === undefined || authority === undefined) return undefined;
  return { key, certificate, authority };
}

/** Writes it whole, mode 0600. */
export async function writeIdentity(path: string, { key, certificate, authority }: ServerIdentity): Promise<void> {
  await writeFile(`${path}.new`, key + certificate + authority, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
