// One test process at a time in each place of the machine: two runs (two clones, two people) would tear each other's
// containers down. Apart because every place asks for it.
import { createServer } from 'node:net';
import { until } from './live-http.ts';

/** As long as a whole file of tests may take. */
const WAIT_MS = 900_000;

/**
 * Waits until no other process is in the place of this name and keeps it until this process ends, however it ends: an
 * abstract socket (unix(7)) goes with its process and leaves nothing behind.
 */
export async function holdPlace(name: string): Promise<void> {
  await until(`another test run to leave ${name}`, WAIT_MS, async () => {
    const server = createServer().unref();
    const { promise, resolve, reject } = Promise.withResolvers<true | undefined>();
    server.once('listening', () => resolve(true));
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(`\0espalier-test/${name}`);
    return await promise;
  });
}
