// The members of an Incus cluster: making the first, letting others in, taking one out. Apart from the place, which is a
// deployment's, while the cluster is the whole machine's.
import type { Cluster } from '../fleet.ts';
import { boundBy, CHANGE_TIMEOUT_MS, type IncusClient, READ_TIMEOUT_MS, toPath } from './client.ts';
import { unless } from './problems.ts';
import type { WireOperation, WireServer } from './wire.ts';

/** What Incus tells of a token: the operation's metadata, which `incus cluster add` encodes for people. */
interface WireJoinToken {
  serverName: string;
  secret: string;
  fingerprint: string;
  addresses: string[];
  expiresAt: string;
}

/** The token as Incus's own tools take it: JSON in base64. */
export function renderJoinToken({ serverName, secret, fingerprint, addresses, expiresAt }: WireJoinToken): string {
  const token = { server_name: serverName, fingerprint, addresses, secret, expires_at: expiresAt };
  return Buffer.from(JSON.stringify(token)).toString('base64');
}

/** Joining and leaving. */
export function makeIncusCluster(client: IncusClient): Cluster {
  return {
    async enable(address, options) {
      const read = boundBy(READ_TIMEOUT_MS, options);
      const about = { path: toPath(), what: 'server' } as const;
      const { metadata } = await client.send<WireServer>({ ...about, method: 'GET' }, read);
      if (metadata.environment.server_clustered) return;
      const json = { config: { 'core.https_address': address } };
      await client.send({ ...about, method: 'PATCH', json }, boundBy(CHANGE_TIMEOUT_MS, options));
      await client.operate(
        {
          method: 'PUT',
          path: toPath('cluster'),
          what: 'cluster',
          json: { server_name: metadata.environment.server_name, enabled: true },
        },
        boundBy(CHANGE_TIMEOUT_MS, options),
      );
    },

    async makeJoinToken(server, options) {
      const request = {
        method: 'POST',
        path: toPath('cluster', 'members'),
        what: `server ${server}`,
        json: { server_name: server },
      } as const;
      const { metadata } = (await client.begin(request, boundBy(READ_TIMEOUT_MS, options))) as WireOperation;
      return renderJoinToken(metadata as unknown as WireJoinToken);
    },

    async remove(server, options = {}) {
      const { force, ...call } = options;
      const query = force === true ? { force: '1' } : {};
      const path = toPath('cluster', 'members', server);
      await client
        .operate({ method: 'DELETE', path, query, what: `server ${server}` }, boundBy(CHANGE_TIMEOUT_MS, call))
        .catch(unless('not-found'));
    },
  };
}
