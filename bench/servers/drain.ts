// The part `drain`: one server of three carries twenty nodes; it is emptied while both sites are visited, with forms that the edge
// never sends twice, and while tasks run on its nodes. Counted: answers that were none, and runs that did not end by themselves.
import { underVisits } from '../../test/cluster/under-visits.ts';
import { toRow } from '../bench.ts';
import { round } from '../statistics.ts';
import type { Part, Stage } from './part.ts';

const NODES = 20;
const QUICK_NODES = 4;
/** Of which MediaWiki's are. */
const WIKI_SHARE = 0.2;
/** Runs are under way on its nodes at all times. */
const TASKS = 10;
const RUN_S = 20;
const EVERY_S = 30;

interface Carried {
  name: string;
  server: string | null;
}

interface RunDocument {
  id: number | null;
  state: string;
  endedAt: string | null;
}

export const drain: Part = {
  name: 'drain',
  async measure(stage) {
    const { commands, quick, say } = stage;
    const { done, list } = commands;
    const nodesOn = async (server: string) => (await list<Carried>('node')).filter((node) => node.server === server);
    const victim = await chooseVictim(stage);
    await gather(stage, victim, quick ? QUICK_NODES : NODES);
    const count = (await nodesOn(victim)).length;
    const names = Array.from({ length: TASKS }, (_, index) => `wordpress/drain-${index + 1}`);
    const every = ['--every', `${EVERY_S}s`, '--class', 'urgent'];
    for (const name of names) await done('s1', 'task', 'add', name, ...every, '--', 'sleep', String(RUN_S));
    const startedMs = performance.now();
    const { report } = await underVisits(stage.lab, async () => {
      say(`emptying ${victim} of ${count} nodes`);
      await done('s1', 'server', 'drain', victim, '--patience', '5m');
    });
    const seconds = (performance.now() - startedMs) / 1_000;
    const runs = await readRuns(stage, names);
    const killed = runs.filter(({ state }) => state !== 'succeeded');
    const left = await nodesOn(victim);
    for (const name of names) await done('s1', 'task', 'remove', name);
    await done('s1', 'server', 'undrain', victim);
    await done('s1', 'pool', 'scale', 'wordpress', '2');
    await done('s1', 'pool', 'scale', 'mediawiki', '2');
    return {
      figures: { drain_failed: report.failed, drain_killed_runs: killed.length },
      peers: {
        ...{ drain_nodes: count, drain_requests: report.requests, drain_runs: runs.length },
        ...{ drain_s: round(seconds, 1), drain_longest_ms: report.longestMs, drain_left: left.length },
      },
      rows: [
        toRow('nodes of the server that was emptied', count, '', { is: '>=', value: NODES }),
        toRow('of them still there at the end', left.length, '', { is: '<=', value: 0 }),
        toRow(`failed of ${report.requests} requests meanwhile`, report.failed, '', { is: '<=', value: 0 }),
        toRow(`killed of ${runs.length} runs of tasks meanwhile`, killed.length, '', { is: '<=', value: 0 }),
        toRow('from the command to its end', round(seconds, 1), 's'),
        toRow('the longest wait of any request', report.longestMs, 'ms'),
      ],
      details: [
        ...Object.entries(report.failures).map(([what, times]) => `${times} times: ${what}`),
        ...killed.map(({ id, state }) => `run ${id} ended as ${state}`),
      ],
    };
  },
};

/** One with neither an edge nor the controller: those would stay. */
async function chooseVictim({ commands: { list } }: Stage): Promise<string> {
  const edges = (await list<Carried>('edge')).map(({ server }) => server);
  const controllers = (await list<{ name: string }>('controller')).map(({ name }) => name);
  const servers = (await list<{ name: string }>('server')).map(({ name }) => name);
  const free = servers.filter((name) => !edges.includes(name) && !controllers.includes(name)).at(-1);
  if (free === undefined) throw new Error('every server has an edge or a controller');
  return free;
}

/** Nodes spread by themselves, so the others are emptied until it has so many; databases and caches go back then. */
async function gather({ commands: { done, list }, say }: Stage, victim: string, count: number): Promise<void> {
  const there = (await list<Carried>('node')).filter(({ server }) => server === victim);
  if (there.length >= count) return;
  const others = (await list<{ name: string }>('server')).map(({ name }) => name).filter((name) => name !== victim);
  say(`bringing ${count} nodes to ${victim}`);
  for (const name of others) await done('s1', 'server', 'drain', name, '--leave-behind');
  const wiki = Math.max(1, Math.round(count * WIKI_SHARE));
  await done('s1', 'pool', 'scale', 'wordpress', String(count - wiki));
  await done('s1', 'pool', 'scale', 'mediawiki', String(wiki));
  for (const name of others) await done('s1', 'server', 'undrain', name);
  for (const noun of ['database', 'cache'])
    for (const { name, server } of await list<Carried>(noun))
      if (server === victim) await done('s1', noun, 'move', name, '--to', others[0] ?? '');
}

/** Those that have ended; what began after the emptying may still be under way. */
async function readRuns({ commands: { done } }: Stage, names: readonly string[]): Promise<RunDocument[]> {
  const all: RunDocument[] = [];
  for (const name of names) {
    const history = await done('s1', 'task', 'history', name, '--limit', '100', '--json');
    all.push(...(JSON.parse(history) as { items: RunDocument[] }).items);
  }
  return all.filter(({ endedAt }) => endedAt !== null);
}
