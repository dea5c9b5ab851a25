// The text of a join token: where the controller is, by which authority to know it, and the secret. Apart and pure.
import { cliProblems } from '../problems.ts';

export interface JoinToken {
  /** `HOST:PORT` of the door for servers. */
  controller: string;
  /** SHA-256 of the certificate of the deployment's authority, hexadecimal. */
  fingerprint: string;
  secret: string;
  deployment: string;
}

/** Parses what `espalier server add` printed; throws `cli.bad-join-token`. */
export function parseJoinToken(text: string): JoinToken {
  try {
    if (!text.startsWith('esj_')) throw new Error('it does not begin with esj_');
    const parts: unknown = JSON.parse(Buffer.from(text.slice(4), 'base64url').toString('utf8'));
    if (!Array.isArray(parts) || parts.length !== 4 || !parts.every((part) => typeof part === 'string'))
      throw new Error('it is not whole');
    const [controller = '', fingerprint = '', secret = '', deployment = ''] = parts as string[];
    return { controller, fingerprint, secret, deployment };
  } catch (thrown) {
    throw cliProblems.make('bad-join-token', {}, thrown);
  }
}
