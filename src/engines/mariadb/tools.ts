// Dump and restore: the commands of services/database/ that run inside the server's container, and how their answers
// read. Apart from mariadb.ts, because they go by a command in the container and not by a connection.
import type { DatabaseDump } from '../database-engine.ts';

/** Runs a command in the database server's container, as `Fleet.exec` does. */
export type RunInServer = (
  argv: readonly string[],
  options: ToolOptions,
) => Promise<{ code: number; stdout: string; stderr: string }>;

/** Reads and writes files in that container, as `Fleet.files` does. */
export interface ServerFiles {
  read(path: string, options: ToolOptions): Promise<AsyncIterable<Uint8Array>>;
  write(path: string, pieces: AsyncIterable<Uint8Array>, options: ToolOptions): Promise<void>;
}
interface ToolOptions {
  signal?: AbortSignal | undefined;
  timeoutMs: number;
}

export function renderDump(name: string, path: string): string[] {
  return ['/usr/lib/espalier/database-dump', name, path];
}

export function renderRestore(name: string, dump: { path: string; sha256: string }): string[] {
  return ['/usr/lib/espalier/database-restore', name, dump.path, dump.sha256];
}

export function renderLoad(name: string, account: string, dump: { path: string; sha256: string }): string[] {
  return ['/usr/lib/espalier/database-load', name, account, dump.path, dump.sha256];
}

export function renderRemoveDump(path: string): string[] {
  return ['rm', '-f', '--', path];
}

/** `BYTES SHA256`, as database-dump prints it; undefined for anything else. */
export function parseDump(path: string, stdout: string): DatabaseDump | undefined {
  const match = /^(\d+) ([0-9a-f]{64})\n?$/.exec(stdout);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { path, bytes: Number(match[1]), sha256: match[2] };
}

/** Why a tool failed: nothing there, server away (2002 … 2026, or a signal ended the tool), or the reason's last line. */
export function parseToolError(code: number, stderr: string): { kind: 'unknown' | 'away' | 'failed'; why: string } {
  const why = (stderr.trim().split('\n').at(-1) ?? '').slice(0, 300) || `exit code ${code}`;
  if (/\b1049\b/.test(stderr)) return { kind: 'unknown', why };
  return { kind: code > 128 || /\b20(02|03|06|13|26)\b/.test(stderr) ? 'away' : 'failed', why };
}
