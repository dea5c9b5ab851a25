// The self-signed certificate of the API's TLS port, made once by openssl. Apart because it is files and a program,
// and because an operator may put a certificate of their own in its place.
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Ten years: clients pin this certificate (context file `ca`), so it has no authority that could renew it. */
const DAYS = 3650;

/** The openssl arguments for a new key and certificate at these paths, valid for these names and addresses. */
export function renderCertificateCommand(keyPath: string, certPath: string, names: readonly string[]): string[] {
  const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`));
  return [
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-batch'],
    ...['-days', String(DAYS), '-subj', `/CN=${names[0] ?? 'espalier'}`],
    ...['-addext', `subjectAltName=${alternatives.join(',')}`, '-addext', 'extendedKeyUsage=serverAuth'],
    ...['-keyout', keyPath, '-out', certPath],
  ];
}

/** Reads `<dir>/server.key` and `<dir>/server.crt`; makes them first when they are not there. */
export async function readOrMakeCertificate(
  dir: string,
  names: readonly string[],
): Promise<{ key: string; cert: string }> {
  const keyPath = join(dir, 'server.key');
  const certPath = join(dir, 'server.crt');
  const read = async () => ({ key: await readFile(keyPath, 'utf8'), cert: await readFile(certPath, 'utf8') });
  try {
    return await read();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const [program = '', ...args] = renderCertificateCommand(`${keyPath}.new`, `${certPath}.new`, names);
  await promisify(execFile)(program, args, { timeout: 30_000 });
  // The key last: a crash in between leaves no key, and both are made anew.
  await rm(keyPath, { force: true });
  await rename(`${certPath}.new`, certPath);
  await rename(`${keyPath}.new`, keyPath);
  return await read();
}
