// What the controller answers to its agents: which heartbeat tells whom, and what an agent is told of its server. Part of the
// composition root, since a heartbeat concerns several rooms.
import { listControllerDoors } from './controllers/store.ts';
import { noteHolder, readSharedAddress } from './edge/address.ts';
import { readEdgeDocument } from './edge/document.ts';
import { listLastingEdges } from './edge/store.ts';
import type { EdgeSync } from './edge/sync.ts';
import { toProblem } from './lib/errors.ts';
import type { Logger } from './lib/log.ts';
import type { AgentAnswers } from './platform/agents.ts';
import type { Events } from './platform/events.ts';
import type { Store } from './platform/store.ts';
import { fromGenerationKey, generationKey } from './pools/generations.ts';
import { noteNodeReports } from './pools/heal.ts';
import type { PoolParts } from './pools/parts.ts';
import { listNodes } from './pools/store.ts';
import { readFacts } from './read-facts.ts';
import type { Sequencer } from './sequencer/sequencer.ts';
import { certifyServer, readTrust } from './servers/authority.ts';
import { isAlone, readCluster } from './servers/cluster-store.ts';
import { readFirewall } from './servers/firewall.ts';
import { noteHeartbeat, welcomeAgent } from './servers/meet-agents.ts';
import type { RemoveParts } from './servers/remove.ts';
import { listServers } from './servers/store.ts';
import { readTunnel } from './servers/tunnel.ts';
import { listWatched, type Witnesses } from './servers/witnesses.ts';
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
  syncEdges: EdgeSync;
  /** The deployment's network; undefined before it is there. */
  findCidr(): Promise<string | undefined>;
  /** Nodes that are stopped with the deployment, or have just been started with it, are not dead. */
  mayNodesRest(): boolean;
}

const SYNC_MS = 10_000;

/** `parts` is asked when an agent calls: the rooms need the channel to agents before they can answer over it. */
export function makeAnswers(parts: () => AnswerParts): AgentAnswers {
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
      const { sequencer, store, events, pools, votes, syncEdges, mayNodesRest, log } = parts();
      // The leases first: nothing that others wait for may hold up their renewal.
      const answer = await sequencer.heartbeat(server, beat);
      await noteHeartbeat(store, server, beat.load);
      parts().witnesses.note(server, beat.heard ?? []);
      if (beat.addresses !== undefined) await noteHolder({ store, events }, server, beat.addresses);
      const reports = mayNodesRest() ? beat.nodes.filter(({ healthy }) => healthy) : beat.nodes;
      if (await noteNodeReports(pools, server, reports)) {
        pools.wakeHeal();
        syncEdges(AbortSignal.timeout(SYNC_MS)).catch((thrown: unknown) =>
          log.warn({ err: thrown }, 'edges not synced'),
        );
      }
      // What votes lack they say; a heartbeat that failed for it would end the leases of runs.
      await noteSamples(votes, beat.samples).catch((thrown: unknown) =>
        log.warn({ err: thrown }, 'samples not stored'),
      );
      return answer;
    },
    'runs.report': (server, report) => parts().sequencer.report(server, report),
    'config.server': async (server) => {
      const { store, pools, findCidr } = parts();
      const network = { cidr: await findCidr(), bridge: pools.fleet.place.network };
      const tunnel = await store.transaction((sql) => readTunnel(sql, network, server));
      const [nodes, edges] = [await listNodes(store, { server }), await listLastingEdges(store)];
      const shared = await readSharedAddress(store, server);
      const firewall = await readFirewall(store, network, server, await readFacts(store));
      return {
        server,
        ...((await isAlone(store)) ? { alone: true } : {}),
        ...(firewall === undefined ? {} : { firewall }),
        ...(shared === undefined ? {} : { shared }),
        ...(tunnel === undefined ? {} : { tunnel, controllers: await listControllerDoors(store) }),
        ...(tunnel === undefined ? {} : { watch: listWatched(await listServers(store), server) }),
        nodes: nodes.flatMap(({ name, sitesOf, generation, address, state: nodeState }) =>
          address === null
            ? []
            : [{ name, pool: generationKey(sitesOf, generation), address, wanted: nodeState !== 'draining' }],
        ),
        trustedProxies: edges.flatMap((one) => (one.address === null ? [] : [`${one.address}/32`])),
        edges: edges.filter((one) => one.server === server).map((one) => one.name),
      };
    },
    'config.pool': (_, { pool: key, since }) => readPoolConfig(parts().sites, { ...fromGenerationKey(key), since }),
    'config.edge': () => readEdgeDocument(parts().store, []),
  };
}
