// What a cache server is as a service: Valkey on one volume, and the files that its container needs.
import type { CacheEngine, CacheHealth } from '../engines/cache-engine.ts';
import { renderBootstrap, renderCacheServerConfig } from '../engines/valkey/commands.ts';
import { makeValkey } from '../engines/valkey/valkey.ts';
import type { ServiceKind, ServiceLogin } from '../services/kind.ts';

/** A full cache refuses writes, and with them logins: this share of its memory is worth a warning. */
const MEMORY_WARNING = 0.8;

/** Makes engines over the real Valkey. */
export function connectValkey(): (login: ServiceLogin) => CacheEngine {
  return ({ host, port, user, password }) => makeValkey({ host, port, user, password });
}

export function makeCacheKind(makeEngine: (login: ServiceLogin) => CacheEngine): ServiceKind<CacheEngine> {
  return {
    noun: 'cache',
    port: 6379,
    unit: 'valkey-server.service',
    namePrefix: 'cache',
    volumes: [{ suffix: 'data', path: '/var/lib/valkey' }],
    renderFiles: ({ memoryMb, login }) => [
      { path: '/etc/espalier-service.conf', content: renderCacheServerConfig({ memoryMb }), mode: 0o644 },
      { path: '/etc/espalier-bootstrap.acl', content: renderBootstrap(login), mode: 0o600 },
    ],
    makeEngine,
    findWarning: findCacheWarning,
  };
}

export function findCacheWarning({ memory, persistent }: CacheHealth): string | undefined {
  if (!persistent) return 'it answers, but cannot write to its disk: sessions would not survive a restart';
  if (memory.usedBytes < memory.maxBytes * MEMORY_WARNING) return undefined;
  const percent = Math.floor((100 * memory.usedBytes) / memory.maxBytes);
  return `it answers, but ${percent} % of its memory is in use: when full it refuses writes, and nobody can log in`;
}
