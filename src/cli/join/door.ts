// Asking the controller's door for servers. The first question of a machine that joins: is this the controller that the
// token means? Apart because no other command speaks over this door.
import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { type ConnectionOptions, connect } from 'node:tls';
import { isDisbelief } from '../../lib/disbelief.ts';
import { Problem, type ProblemDocument } from '../../lib/errors.ts';
import { cliProblems } from '../problems.ts';

/** Connecting and each answer. */
const TIMEOUT_MS = 35_000;

function split(controller: string): { host: string; port: number } {
  const at = controller.lastIndexOf(':');
  return { host: controller.slice(0, at), port: Number(controller.slice(at + 1)) };
}

/**
 * The authority's certificate (PEM) that the controller shows, once it is the one of the fingerprint; and this machine's
 * own address on the way there. Throws `cli.not-reachable`, `cli.other-controller`.
 */
export async function readAuthority(
  controller: string,
  fingerprint: string,
  signal: AbortSignal,
): Promise<{ authority: string; ownAddress: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ chain: Buffer[]; ownAddress: string }>();
  // Nothing is sent on this connection: who answers is known only after it.
  const socket = connect({ ...split(controller), rejectUnauthorized: false, timeout: TIMEOUT_MS });
  const abort = () => socket.destroy(new Error('interrupted'));
  signal.addEventListener('abort', abort, { once: true });
  socket.once('timeout', () => socket.destroy(new Error('no answer in time')));
  socket.once('error', (error) =>
    reject(cliProblems.make('not-reachable', { where: controller, why: error.message }, error)),
  );
  socket.once('secureConnect', () => {
    const shown = socket.getPeerCertificate(true);
    resolve({
      chain: [shown.raw, shown.issuerCertificate?.raw].filter(Boolean),
      ownAddress: socket.localAddress ?? '',
    });
    socket.end();
  });
  try {
    const { chain, ownAddress } = await promise;
    const found = chain.map((raw) => new X509Certificate(raw)).find((one) => hex(one) === fingerprint);
    if (found === undefined) throw cliProblems.make('other-controller', { controller });
    return { authority: `${found.toString().trim()}\n`, ownAddress: ownAddress.replace(/^::ffff:/, '') };
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const hex = (certificate: X509Certificate): string => certificate.fingerprint256.replaceAll(':', '').toLowerCase();

/** One request by TLS that only the authority's controller can answer; throws its problem. */
export async function askDoor<T>(about: {
  controller: string;
  method: 'GET' | 'POST';
  path: string;
  body?: object;
  tls: Pick<ConnectionOptions, 'ca' | 'key' | 'cert'>;
  signal: AbortSignal;
}): Promise<T> {
  const { controller, method, path, body, tls, signal } = about;
  const text = body === undefined ? '' : JSON.stringify(body);
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const asked = request({
    ...{ ...split(controller), method, path, ...tls, agent: false, minVersion: 'TLSv1.3' },
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    // The authority signs one controller and no other names for it.
    checkServerIdentity: () => undefined,
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  asked.once('error', (error) =>
    reject(
      isDisbelief(error)
        ? cliProblems.make('other-controller', { controller }, error)
        : cliProblems.make('not-reachable', { where: controller, why: error.message }, error),
    ),
  );
  asked.once('response', (response) => {
    let answer = '';
    response.setEncoding('utf8').on('data', (piece: string) => {
      answer += piece;
    });
    response.once('end', () => resolve({ status: response.statusCode ?? 0, text: answer }));
    response.once('error', reject);
  });
  asked.end(text);
  const answer = await promise;
  const document: unknown = JSON.parse(answer.text);
  if (answer.status >= 400) throw new Problem(document as ProblemDocument);
  return document as T;
}
