// The text of a token by which a machine or a controller joins: where the controller is, by which authority to know it, and the
// secret. Apart and pure.
import { cliProblems } from '../problems.ts';

/** How tokens for machines begin, and those for controllers. */
export const MACHINE_TOKEN = 'esj_';
export const CONTROLLER_TOKEN = 'esc_';

export interface JoinToken {
  /** `HOST:PORT` of the door for servers. */
  controller: string;
  /** SHA-256 of the certificate of the deployment's authority, hexadecimal. */
  fingerprint: string;
  secret: string;
  deployment: string;
}

/** Parses what `espalier server add` or `controller add` printed; throws `cli.bad-join-token`. */
export function parseJoinToken(text: string, kind = MACHINE_TOKEN): JoinToken {
  try {
    if (!text.startsWith(kind)) throw new Error(`it does not begin with ${kind}`);
    const parts: unknown = JSON.parse(Buffer.from(text.slice(kind.length), 'base64url').toString('utf8'));
    if (!Array.isArray(parts) || parts.length !== 4 || !parts.every((part) => typeof part === 'string'))
      throw new Error('it is not whole');
    const [controller = '', fingerprint = '', secret = '', deployment = ''] = parts as string[];
    return { controller, fingerprint, secret, deployment };
  } catch (thrown) {
    throw cliProblems.make('bad-join-token', {}, thrown);
  }
}
