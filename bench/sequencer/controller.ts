// Our controller's sequencer as a process of its own: the room, its loops and the agents' channel, without the other rooms.
// `node controller.ts JSON`; each line on its standard input is answered with what the process has used so far.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import pino from 'pino';
import { WebSocketServer } from 'ws';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { type AgentAnswers, makeAgents } from '../../src/platform/agents.ts';
import { makeLoops } from '../../src/platform/loops.ts';
import { openStore } from '../../src/platform/open-store.ts';
import { CHOOSE_LOOP, makeSequencerLoops } from '../../src/sequencer/loops.ts';
import type { Sequencer } from '../../src/sequencer/sequencer.ts';
import { makeOurs } from './ours.ts';

export interface ControllerOrder {
  /** Of the database, made and filled. */
  url: string;
  /** Where agents connect: the path of a Unix socket. */
  socket: string;
}

export interface Usage {
  cpuS: number;
  rssMb: number;
  wallS: number;
}

async function run({ url, socket }: ControllerOrder): Promise<void> {
  const clock = makeSystemClock();
  const log = pino({ level: 'silent' });
  const store = await openStore({ url });
  const loops = makeLoops({ clock, log });
  const answers: Partial<AgentAnswers> = {
    async hello(server) {
      sequencer.forget(server);
      return { accepted: true };
    },
    heartbeat: (server, beat) => sequencer.heartbeat(server, beat),
    'runs.report': (server, report) => sequencer.report(server, report),
  };
  const agents = makeAgents({
    answers: answers as AgentAnswers,
    onGone: (server) => sequencer.forget(server),
    log,
  });
  const sequencer: Sequencer = makeOurs({ store, agents, wake: () => loops.wake(CHOOSE_LOOP) });
  const whenUp = (work: (signal: AbortSignal) => Promise<unknown>) => work as never;
  for (const loop of makeSequencerLoops({ sequencer, channels: [], addMissingTasks: async () => ({}), whenUp }))
    loops.add(loop);
  const http = createServer();
  new WebSocketServer({ server: http }).on('connection', (connection) => agents.accept(connection));
  await new Promise<void>((done) => http.listen(socket, done));
  loops.start();
  process.stdout.write('"up"\n');
  const usage = (): Usage => {
    const { user, system } = process.cpuUsage();
    return {
      cpuS: (user + system) / 1e6,
      rssMb: process.resourceUsage().maxRSS / 1024,
      wallS: performance.now() / 1000,
    };
  };
  createInterface({ input: process.stdin })
    .on('line', () => process.stdout.write(`${JSON.stringify(usage())}\n`))
    .on('close', () => process.exit(0));
}

if (import.meta.main) await run(JSON.parse(process.argv[2] ?? '{}') as ControllerOrder);
