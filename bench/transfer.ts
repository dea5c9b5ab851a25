// `transfer`: a WordPress of 500 MB is kept as a snapshot and put back, leaves as one file and comes back from it, and leaves once
// more: what came back must be what left.
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperationDocument } from '../src/cli/documents.ts';
import { readArchive } from '../src/sites/transfer/archive.ts';
import { type Benchmark, toRow } from './bench.ts';
import type { Place } from './place.ts';
import { round } from './statistics.ts';

const POOL = 'wordpress';
const FULL_MB = 500;
const QUICK_MB = 20;
const FILE_MB = 10;
/** Posts of a kilobyte each. */
const POSTS = 20_000;
const EXEC_MS = 300_000;
const DUMP_BYTES = 512 * 2 ** 20;
const MB = 2 ** 20;
/** What changes by itself, and the administrator's new password. */
const VOLATILE = /_transient_|'cron'|session_tokens|user_pass|INSERT INTO `wp_users`/;

interface Site {
  id: string;
  databaseServer: string;
}

export const transfer: Benchmark = {
  name: 'transfer',
  async run(place, { quick }) {
    const folder = await mkdtemp(join(tmpdir(), 'espalier-transfer-'));
    try {
      return await measure(place, folder, quick ? QUICK_MB : FULL_MB);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function measure(place: Place, folder: string, mb: number) {
  const [first, second] = [join(folder, 'first'), join(folder, 'second')];
  const names = { source: 'carried', copy: 'carried-back' };
  const host = `${names.source}.localhost`;
  for (const name of Object.values(names)) await removeSite(place, name);
  await place.finish(
    await place.begin('POST', '/v1/sites', { name: names.source, app: 'wordpress', hosts: [host], pool: POOL }),
  );
  const source = await readSite(place, names.source);
  place.say(`filling it with ${mb} MB`);
  await fill(place, source, mb);

  const snapshot = await timed(place, () => operate(place, 'POST', `/v1/sites/${names.source}/snapshots`));
  const { number } = outputOf(snapshot.value, 'snapshot') as { number: number };
  const restore = await timed(place, () =>
    operate(place, 'POST', `/v1/sites/${names.source}/restore`, { snapshot: number }),
  );
  const exported = await place.runEspalier('site', 'export', names.source, '--to', first);
  // Its host is free for what comes back, so that no link changes.
  await operate(place, 'PUT', `/v1/sites/${names.source}/hosts`, { hosts: [`was-${host}`] });
  const imported = await place.runEspalier('site', 'import', first, '--name', names.copy, '--host', host);
  const again = await place.runEspalier('site', 'export', names.copy, '--to', second);

  const [before, after] = [await readArchive(first), await readArchive(second)];
  const filesEqual = before.parts['files.tar'].sha256 === after.parts['files.tar'].sha256;
  const copy = await readSite(place, names.copy);
  const [rows, rowsAfter] = [await hashRows(place, source), await hashRows(place, copy)];
  const equal = filesEqual && rows.hash === rowsAfter.hash && rows.count > POSTS ? 1 : 0;
  const bytes = (await stat(first)).size;
  for (const name of Object.values(names)) await removeSite(place, name);

  const figures = {
    size_mb: round(bytes / MB, 1),
    snapshot_s: round(snapshot.seconds, 2),
    restore_s: round(restore.seconds, 2),
    export_s: round(exported.seconds, 2),
    import_s: round(imported.seconds, 2),
    roundtrip_equal: equal,
  };
  return {
    figures,
    peers: {
      second_export_s: round(again.seconds, 2),
      rows_compared: rows.count,
      restore_pause_s: pauseOf(restore.value),
    },
    rows: [
      toRow('size of the file', figures.size_mb, 'MB'),
      toRow('snapshot while it serves', figures.snapshot_s, 's'),
      toRow('restore in its place, with a snapshot of what was', figures.restore_s, 's'),
      toRow('of that closed to visitors', pauseOf(restore.value), 's'),
      toRow('export: snapshot, packed, fetched, on the disk', figures.export_s, 's'),
      toRow('import: sent, verified, loaded, checked on each node', figures.import_s, 's'),
      toRow('files by checksum and rows by content equal after the round trip', equal, '', { is: '>=', value: 1 }),
    ],
    details: [renderSteps('snapshot', snapshot.value), renderSteps('restore', restore.value)],
  };
}

/** Random files of its own user, and posts: as hard to pack as pictures, and as many rows as a site of some years has. */
async function fill(place: Place, site: Site, mb: number): Promise<void> {
  const [node] = await place.listNodes(POOL);
  const run = async (name: string, argv: string[]) => {
    const { code, stderr } = await place.fleet.exec(name, argv, { timeoutMs: EXEC_MS });
    if (code !== 0) throw new Error(`${argv[0]}: ${stderr}`);
  };
  const folder = `/srv/content/${site.id}/uploads`;
  for (let at = 0; at < mb; at += FILE_MB) {
    const dd = ['dd', 'if=/dev/urandom', `of=${folder}/picture-${at}.jpg`, 'bs=1M', `count=${FILE_MB}`, 'status=none'];
    await run(node?.name ?? '', ['/usr/lib/espalier/site-exec', site.id, '--', ...dd]);
  }
  const insert = `INSERT INTO wp_posts (post_author, post_date, post_date_gmt, post_modified, post_modified_gmt, post_title, post_name,
      post_content, post_excerpt, to_ping, pinged, post_content_filtered)
    SELECT 1, '2026-01-01', '2026-01-01', '2026-01-01', '2026-01-01', CONCAT('Post ', seq), CONCAT('post-', seq),
      REPEAT(MD5(seq), 32), '', '', '', '' FROM seq_1_to_${POSTS}`;
  await run(`database-${site.databaseServer}`, ['mariadb', `--database=${site.id}`, `--execute=${insert}`]);
}

/** Every row but the volatile ones, in the order of their keys. */
async function hashRows(place: Place, site: Site): Promise<{ hash: string; count: number }> {
  const argv = [
    'mariadb-dump',
    '--compact',
    '--no-create-info',
    '--skip-extended-insert',
    '--order-by-primary',
    site.id,
  ];
  const options = { timeoutMs: EXEC_MS, maxOutputBytes: DUMP_BYTES };
  const { stdout, truncated } = await place.fleet.exec(`database-${site.databaseServer}`, argv, options);
  if (truncated) throw new Error('there are too many rows to compare');
  const rows = stdout.split('\n').filter((row) => row !== '' && !VOLATILE.test(row));
  return { hash: createHash('sha256').update(rows.join('\n')).digest('hex'), count: rows.length };
}

async function readSite(place: Place, name: string): Promise<Site> {
  return (await place.client.request<Site>('GET', `/v1/sites/${name}`)).body;
}

/** Deletes it with all its data; nothing happens where there is none. */
async function removeSite(place: Place, name: string): Promise<void> {
  const there = await readSite(place, name).catch(() => undefined);
  if (there === undefined) return;
  await place.finish(await place.begin('DELETE', `/v1/sites/${name}`, undefined, { graceS: 0 }));
  const bound = AbortSignal.timeout(EXEC_MS);
  while ((await readSite(place, name).catch(() => undefined)) !== undefined) await place.clock.wait(500, bound);
}

async function operate(place: Place, method: string, path: string, body?: unknown): Promise<OperationDocument> {
  return place.finish(await place.begin(method, path, body));
}

async function timed<T>(place: Place, work: () => Promise<T>): Promise<{ value: T; seconds: number }> {
  const startedMs = place.clock.monotonicMs();
  const value = await work();
  return { value, seconds: (place.clock.monotonicMs() - startedMs) / 1000 };
}

const outputOf = ({ steps }: OperationDocument, name: string): unknown =>
  steps.find((step) => step.name === name)?.output;

/** From the end of the step that closes to the end of the one that opens. */
function pauseOf({ steps }: OperationDocument): number {
  const endOf = (name: string) => Date.parse(steps.find((step) => step.name === name)?.endedAt ?? '');
  return round((endOf('open') - endOf('close')) / 1000, 2);
}

const renderSteps = (what: string, { steps }: OperationDocument): string =>
  `${what}: ${steps
    .map(({ name, startedAt, endedAt }) => {
      const seconds = (Date.parse(endedAt ?? '') - Date.parse(startedAt ?? '')) / 1000;
      return `${name} ${seconds.toFixed(2)} s`;
    })
    .join(', ')}`;
