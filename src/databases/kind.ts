// What a database server is as a service: MariaDB on two volumes, and the files that its container needs.
import type { DatabaseEngine, DatabaseHealth } from '../engines/database-engine.ts';
import type { Fleet } from '../engines/fleet.ts';
import { makeMariadb } from '../engines/mariadb/mariadb.ts';
import { mariadbProblems } from '../engines/mariadb/problems.ts';
import { renderDatabaseServerConfig } from '../engines/mariadb/server-config.ts';
import { renderBootstrap } from '../engines/mariadb/sql.ts';
import type { RunInServer } from '../engines/mariadb/tools.ts';
import { Problem } from '../lib/errors.ts';
import type { ServiceKind, ServiceLogin } from '../services/kind.ts';

/** Where dumps lie in a database server's container, on a volume of their own. */
export const DUMPS_PATH = '/var/backups/espalier';

/** From here on a server's connections are worth a warning. */
const CONNECTIONS_WARNING = 0.9;

/** Makes engines over the real MariaDB; dumps run in the server's container. */
export function connectMariadb(fleet: Fleet): (login: ServiceLogin) => DatabaseEngine {
  return ({ instance, ...login }) =>
    makeMariadb({
      ...login,
      runInServer: runIn(fleet, instance),
      files: {
        read: (path, options) => fleet.files.readPieces(instance, path, options),
        write: (path, pieces, options) => fleet.files.writePieces(instance, path, pieces, { ...options, mode: 0o600 }),
      },
    });
}

/** A container that is down is a server that is away: what waits for it goes on when it has been healed. */
const runIn =
  (fleet: Fleet, instance: string): RunInServer =>
  async (argv, options) => {
    try {
      return await fleet.exec(instance, argv, options);
    } catch (thrown) {
      const isDown = thrown instanceof Problem && ['incus.not-running', 'incus.not-found'].includes(thrown.code);
      if (!isDown) throw thrown;
      throw mariadbProblems.make('away', { server: instance, why: 'its container does not run' }, thrown);
    }
  };

export function makeDatabaseKind(makeEngine: (login: ServiceLogin) => DatabaseEngine): ServiceKind<DatabaseEngine> {
  return {
    noun: 'database',
    port: 3306,
    unit: 'mariadb.service',
    namePrefix: 'db',
    volumes: [
      { suffix: 'data', path: '/var/lib/mysql' },
      { suffix: 'backups', path: DUMPS_PATH },
    ],
    backupsPath: DUMPS_PATH,
    renderFiles: ({ number, memoryMb, login, controllerHosts }) => [
      {
        path: '/etc/espalier-service.cnf',
        content: renderDatabaseServerConfig({ serverId: number, gtidDomainId: number, memoryMb }),
        mode: 0o644,
      },
      {
        path: '/etc/espalier-bootstrap.sql',
        content: renderBootstrap({ ...login, allowedFrom: controllerHosts }),
        mode: 0o600,
      },
    ],
    // Root of the container is root of the server, by its socket.
    renderAccess: (login, controllerHosts) => ({
      argv: ['mariadb', '--batch'],
      stdin: renderBootstrap({ ...login, allowedFrom: controllerHosts }),
    }),
    makeEngine,
    findWarning: findDatabaseWarning,
  };
}

export function findDatabaseWarning({ readOnly, connections }: DatabaseHealth): string | undefined {
  if (readOnly) return 'it answers, but takes no changes: it is read-only';
  const { used, max } = connections;
  if (used < max * CONNECTIONS_WARNING) return undefined;
  return `it answers, but ${used} of ${max} connections are in use: sites will be refused`;
}
