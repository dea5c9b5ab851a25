// What a site would have sent by mail and was put aside. Apart because it is only looked at: letting mail go is a change of
// the site (hold.ts), and what was put aside is never sent.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { execInSite } from './nodes.ts';
import type { SiteParts } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite } from './store.ts';

export const heldMailSchema = z.object({
  name: z.string().describe('Of the message: time (UTC), node and number'),
  at: z.string(),
  bytes: z.number(),
  to: z.string(),
  subject: z.string(),
});
export type HeldMail = z.infer<typeof heldMailSchema>;

const PROGRAM = '/usr/lib/espalier/held-mail';
const READ_MS = 30_000;
const NAME = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-/;

/** Reads the program's lines; those that it could not have written are left out. */
export function parseHeldMail(output: string): HeldMail[] {
  return output.split('\n').flatMap((line) => {
    const [name = '', bytes = '', to = '', subject = ''] = line.split('\t');
    const [, year, month, day, hour, minute, second] = NAME.exec(name) ?? [];
    if (year === undefined) return [];
    const at = `${year}-${month}-${day}T${hour}:${minute}:${second}Z`;
    return [{ name, at, bytes: Number(bytes) || 0, to, subject: decodeWords(subject) }];
  });
}

/** Encoded words of a header (RFC 2047) as text; what is not UTF-8 stays as it is. */
function decodeWords(text: string): string {
  return text.replaceAll(/=\?utf-8\?([bq])\?([^?]*)\?=\s*/gi, (_, encoding: string, word: string) =>
    encoding.toLowerCase() === 'b'
      ? Buffer.from(word, 'base64').toString('utf8')
      : Buffer.from(
          word
            .replaceAll('_', ' ')
            .replaceAll(/=([0-9a-f]{2})/gi, (_all, code: string) => String.fromCharCode(Number.parseInt(code, 16))),
          'latin1',
        ).toString('utf8'),
  );
}

async function ask(parts: SiteParts, name: string, more: readonly string[], signal: AbortSignal): Promise<string> {
  const site = await readSite(parts.store, name);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
  const { code, stdout, stderr } = await execInSite(
    parts,
    site,
    { argv: [PROGRAM, ...more], timeoutMs: READ_MS },
    signal,
  );
  if (code === 0) return stdout;
  if (more[0] !== undefined && code === 66)
    throw commonProblems.make('not-found', { noun: 'held message', name: more[0] });
  throw siteProblems.make('no-held-mail', { site: site.name, why: `exit code ${code}: ${stderr.trim().slice(-300)}` });
}

/** The last hundred, newest first. */
export async function listHeldMail(parts: SiteParts, site: string, signal: AbortSignal): Promise<HeldMail[]> {
  return parseHeldMail(await ask(parts, site, [], signal));
}

/** One message as it would have been sent, its first 60 kB. */
export function readHeldMail(parts: SiteParts, site: string, message: string, signal: AbortSignal): Promise<string> {
  return ask(parts, site, [message], signal);
}
