// What differs between database servers, as the text of /etc/espalier-service.cnf. What they share is in the
// image (services/database/). Apart because it is the one text here that is no SQL.

export interface DatabaseServerConfig {
  /** Unique among all database servers: its replication identity. */
  serverId: number;
  /** Own to each primary, so that a site's transactions keep their origin when it is moved to another. */
  gtidDomainId: number;
  /** What the container may use. */
  memoryMb: number;
}

/**
 * Half of the memory goes to InnoDB's buffer pool, a quarter to connections at 2 MiB each (a PHP page's buffers), the
 * rest to table caches, the log and dumps. 2,000 connections are the most that one process serves well.
 */
export function sizeDatabaseServer(memoryMb: number): { bufferPoolMb: number; maxConnections: number } {
  return {
    bufferPoolMb: Math.max(64, Math.floor(memoryMb / 2)),
    maxConnections: Math.min(2000, Math.max(100, Math.floor(memoryMb / 8))),
  };
}

export function renderDatabaseServerConfig(config: DatabaseServerConfig): string {
  const { bufferPoolMb, maxConnections } = sizeDatabaseServer(config.memoryMb);
  return [
    '# Written by the controller when it makes this container.',
    '[mariadbd]',
    `server_id = ${config.serverId}`,
    `gtid_domain_id = ${config.gtidDomainId}`,
    `innodb_buffer_pool_size = ${bufferPoolMb}M`,
    `max_connections = ${maxConnections}`,
    '',
  ].join('\n');
}
