// Visits sites through the edge of the deployment on this machine until a file appears, then prints one line of JSON: how
// many requests, how many failed, the longest wait. For tests in a lab, where the edge listens inside of a server.
//   node visit.ts STOP-FILE HOST/PATH…
import { access } from 'node:fs/promises';
import { request } from 'node:http';
import { startLoad } from '../../bench/load.ts';

const [, , stopFile = '', ...pages] = process.argv;
const SOCKET = '/var/lib/espalier/controller.sock';
/** Whoever forgot to end it. */
const MOST_MS = 900_000;

/** The port of the edge, which `up` chose. */
async function readPort(): Promise<number> {
  const text = await new Promise<string>((resolve, reject) => {
    const asked = request({ socketPath: SOCKET, path: '/v1/deployment' }, (answer) => {
      answer.setEncoding('utf8');
      let body = '';
      answer.on('data', (piece: string) => {
        body += piece;
      });
      answer.on('end', () => resolve(body));
    });
    asked.on('error', reject);
    asked.end();
  });
  return (JSON.parse(text) as { httpPort: number }).httpPort;
}

const port = await readPort();
const load = startLoad(
  `http://127.0.0.1:${port}`,
  pages.flatMap((page) => {
    const slash = page.indexOf('/');
    const about = { host: `${page.slice(0, slash)}:${port}`, path: page.slice(slash) };
    return [
      { ...about, method: 'GET', workers: 2, pauseMs: 200 },
      // Never sent twice by the edge.
      { ...about, method: 'POST', workers: 1, pauseMs: 400 },
    ];
  }),
  () => undefined,
);
const untilMs = performance.now() + MOST_MS;
const isOver = () =>
  access(stopFile).then(
    () => true,
    () => false,
  );
while (!(await isOver()) && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 100));
process.stdout.write(`${JSON.stringify(await load.stop())}\n`);
