// Makes sure that one process has a data directory: PGlite itself does not. A listening Unix socket, because the
// kernel frees it when its process dies, however it dies.
import { createHash } from 'node:crypto';
import { mkdir, realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { storeProblems } from './problems.ts';

/** Takes the directory (made when missing) for this process, or throws `store.in-use`. Returns the unlock function. */
export async function lockDataDir(dataDir: string): Promise<() => void> {
  await mkdir(dirname(dataDir), { recursive: true });
  const path = join(await realpath(dirname(dataDir)), dataDir.slice(dirname(dataDir).length));
  const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
  // Linux has sockets without a file (their name begins with a zero byte); elsewhere a stale file must be cleared first.
  const address = process.platform === 'linux' ? `\0espalier-${name}` : `${path}.lock`;
  if (process.platform !== 'linux' && !(await answers(address))) await rm(address, { force: true });
  const server = createServer((socket) => socket.destroy());
  try {
    await listen(server, address);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw storeProblems.make('in-use', { dataDir }, error);
    throw error;
  }
  server.unref();
  return () => {
    server.close();
  };
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => resolve());
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
