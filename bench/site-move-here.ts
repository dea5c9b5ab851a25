// `site-move` in the deployment that is on this machine already, for a server of a lab: prints what was measured as one line of JSON.
//   ESPALIER_BENCH_DEPLOYMENT=espalier ESPALIER_BENCH_PORT=8080 node bench/site-move-here.ts [--quick]
import { makePlace } from './place.ts';
import { siteMove } from './site-move.ts';

const place = makePlace();
// In a cluster the door may be on another server.
const door = `http://${(await place.readEdge()).address}`;
const measured = await siteMove.run({ ...place, door }, { quick: process.argv.includes('--quick'), only: [] });
process.stdout.write(`${JSON.stringify(measured)}\n`);
await place.close();
