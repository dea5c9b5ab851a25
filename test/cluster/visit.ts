// Visits sites until a file appears, then prints one line of JSON: how many requests, how many failed, the longest wait. For tests
// in a lab, where edges are reached from inside of a server.
//   node visit.ts STOP-FILE ORIGIN HOST/PATH…
import { access } from 'node:fs/promises';
import { startLoad } from '../../bench/load.ts';

const [, , stopFile = '', origin = '', ...pages] = process.argv;
/** Whoever forgot to end it. */
const MOST_MS = 1_800_000;

const load = startLoad(
  origin,
  pages.flatMap((page) => {
    const slash = page.indexOf('/');
    const about = { host: page.slice(0, slash), path: page.slice(slash) };
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
