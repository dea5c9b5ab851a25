// Which contestant is made by what.
import type { MakePeer, Peer, PeerName } from '../sequencer/contestant.ts';
import type { Addresses } from '../sequencer/services.ts';
import { makeBullMq, makeBullMqPostgres } from './bullmq.ts';
import { makeGraphileWorker } from './graphile-worker.ts';
import { makePgBoss } from './pg-boss.ts';

const MAKERS: Readonly<Record<PeerName, MakePeer>> = {
  'graphile-worker': makeGraphileWorker,
  'pg-boss': makePgBoss,
  bullmq: makeBullMq,
  'bullmq-postgres': makeBullMqPostgres,
};

export function makePeer(name: PeerName, addresses: Addresses): Promise<Peer> {
  return MAKERS[name](addresses, `peer_${name.replaceAll('-', '_')}`);
}
