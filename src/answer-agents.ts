// What the controller answers to its agents: which heartbeat tells whom. What comes together is stored and read together, since a
// thousand servers beat once a second. Part of the composition root, since a heartbeat concerns several rooms.
import { noteHolder } from './edge/address.ts';
import { readEdgeDocument } from './edge/document.ts';
import type { EdgeSync } from './edge/sync.ts';
import { makeBatcher } from './lib/batcher.ts';
import { toProblem } from './lib/errors.ts';
import type { Logger } from './lib/log.ts';
import type { AgentAnswers } from './platform/agents.ts';
import type { Events } from './platform/events.ts';
import type { Store } from './platform/store.ts';
import { fromGenerationKey } from './pools/generations.ts';
import { noteNodeReports } from './pools/heal.ts';
import type { PoolParts } from './pools/parts.ts';
import type { ControllerContract, ServerDocument } from './protocol/contract.ts';
import type { ParamsOf } from './protocol/peer.ts';
import { readServerDocuments } from './read-server-documents.ts';
import type { Sequencer } from './sequencer/sequencer.ts';
import { certifyServer, readTrust } from './servers/authority.ts';
import { readCluster } from './servers/cluster-store.ts';
import type { Hearing } from './servers/hearing.ts';
import { welcomeAgent } from './servers/meet-agents.ts';
import { serverProblems } from './servers/problems.ts';
import type { RemoveParts } from './servers/remove.ts';
import { storeHeartbeats } from './servers/store.ts';
import type { Witnesses } from './servers/witnesses.ts';
import { readPoolConfig } from './sites/document.ts';
import type { SiteParts } from './sites/parts.ts';
import type { VotesParts } from './votes/parts.ts';
import { noteSamples } from './votes/votes.ts';

export interface AnswerParts {
  store: Store;
  events: Events;
  log: Logger;
  sequencer: Sequencer;
  pools: PoolParts;
  sites: SiteParts;
  votes: VotesParts;
  joining: RemoveParts;
  witnesses: Witnesses;
  hearing: Pick<Hearing, 'answer'>;
  syncEdges: EdgeSync;
  /** The deployment's network; undefined before it is there. */
  findCidr(): Promise<string | undefined>;
  /** Nodes that are stopped with the deployment, or have just been started with it, are not dead. */
  mayNodesRest(): boolean;
}

const SYNC_MS = 10_000;
/** Heartbeats of so many servers are stored together. */
const MOST_BEATS = 500;
/** So many servers' documents are read together: each knows all other servers, so that each alone reads as much as all. */
const MOST_DOCUMENTS = 100;

type Beat = ParamsOf<ControllerContract, 'heartbeat'>;
type Samples = NonNullable<Beat['samples']>;

interface Told {
  server: string;
  beat: Beat;
}

/** Stores the heartbeats that came together, of a server's several the last; for each, whether its server counts as heard. */
async function noteBeats(parts: AnswerParts, told: readonly Told[]): Promise<boolean[]> {
  const { store, witnesses, pools, syncEdges, mayNodesRest, log } = parts;
  const last = [...new Map(told.map((one) => [one.server, one])).values()];
  const heard = await storeHeartbeats(
    store,
    last.map(({ server, beat }) => ({ server, load: beat.load })),
  );
  const known = last.filter(({ server }) => heard.has(server));
  for (const { server, beat } of known) witnesses.note(server, beat.heard ?? []);
  const rest = mayNodesRest();
  const reports = known.map(({ server, beat }) => ({
    server,
    reports: rest ? beat.nodes.filter(({ healthy }) => healthy) : beat.nodes,
  }));
  if (await noteNodeReports(pools, reports)) {
    pools.wakeHeal();
    syncEdges(AbortSignal.timeout(SYNC_MS)).catch((thrown: unknown) => log.warn({ err: thrown }, 'edges not synced'));
  }
  return told.map(({ server }) => heard.has(server));
}

/** `parts` is asked when an agent calls: the rooms need the channel to agents before they can answer over it. */
export function makeAnswers(parts: () => AnswerParts): AgentAnswers {
  const beats = makeBatcher<Told, boolean>((told) => noteBeats(parts(), told), MOST_BEATS);
  const samples = makeBatcher<Samples, void>(async (told) => {
    const [nodes, edges] = [told.flatMap((one) => one.nodes), told.flatMap((one) => one.edges)];
    await noteSamples(parts().votes, { nodes, edges });
    return told.map(() => undefined);
  }, MOST_BEATS);
  const documents = makeBatcher<string, ServerDocument>(
    (servers) => readServerDocuments(parts(), servers),
    MOST_DOCUMENTS,
  );
  return {
    async hello(server, params) {
      const { sequencer, store, events, witnesses } = parts();
      sequencer.forget(server);
      const cluster = await readCluster(store);
      // The agent beside the controller does not know how others reach its server.
      const address = cluster?.server === server ? cluster.address : params.address;
      await welcomeAgent(store, events, { ...params, server, address }).catch((thrown: unknown) => {
        const { code, document } = toProblem(thrown);
        if (code === 'server.agent-other-version') witnesses.refuse(server, document.detail);
        throw thrown;
      });
      return { accepted: true };
    },
    'certificate.renew': async (server, { publicKey }) => {
      const { joining, store } = parts();
      const certificate = await store.transaction((sql) => certifyServer(joining, sql, { server, publicKey }));
      return { certificate, authority: (await readTrust(joining)).certificate };
    },
    async heartbeat(server, beat) {
      const { sequencer, store, events, hearing, log } = parts();
      return await hearing.answer(async () => {
        // The leases first: nothing that others wait for may hold up their renewal.
        const answer = await sequencer.heartbeat(server, beat);
        if (!(await beats.add({ server, beat }))) throw serverProblems.make('being-fenced', { server });
        if (beat.addresses !== undefined) await noteHolder({ store, events }, server, beat.addresses);
        // What votes lack they say; a heartbeat that failed for it would end the leases of runs.
        if (beat.samples !== undefined)
          await samples
            .add(beat.samples)
            .catch((thrown: unknown) => log.warn({ err: thrown, server }, 'samples not stored'));
        return answer;
      });
    },
    'runs.report': (server, report) => parts().sequencer.report(server, report),
    'config.server': (server) => documents.add(server),
    'config.pool': (_, { pool: key, since }) => readPoolConfig(parts().sites, { ...fromGenerationKey(key), since }),
    'config.edge': () => readEdgeDocument(parts().store, []),
  };
}
