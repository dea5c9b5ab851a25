// Sites that leave as a file and come from one: all of them is in it, what is damaged or does not fit changes nothing, and an import
// that was killed goes on or is undone.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pauseTask } from '../../src/sequencer/stop.ts';
import { readTask } from '../../src/sequencer/task-store.ts';
import { addTask, newTaskSchema } from '../../src/sequencer/tasks.ts';
import { secretsOf } from '../../src/sites/parts.ts';
import { listSites, readSite } from '../../src/sites/store.ts';
import { beginAdoption, newAdoptionSchema, startAdoption } from '../../src/sites/transfer/adopt.ts';
import { readArchive } from '../../src/sites/transfer/archive.ts';
import { beginExport, openExport } from '../../src/sites/transfer/export.ts';
import { beginImport, planImport, startImport } from '../../src/sites/transfer/import.ts';
import { beginUpload, pathOfUpload, writePiece } from '../../src/sites/transfer/uploads.ts';
import { assertConsistent } from './consistency.ts';
import { filesOf, loginTo } from './site-data.ts';
import { describeTrials } from './trials.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const SITE = 'wordpress';
const partsOf = (world: World) => world.controller.rooms.parts.sites;
const uploadsOf = (world: World) => partsOf(world).uploadsDir;

/** The bytes of an export of a site. */
async function exportOf(world: World, name = SITE): Promise<Buffer> {
  const view = await world.ended((await beginExport(partsOf(world), name, tester)).id);
  assert.equal(view.state, 'succeeded', view.problem?.detail);
  const packed = (view.steps.find((step) => step.name === 'pack')?.output ?? {}) as { number?: number };
  const signal = AbortSignal.timeout(10_000);
  const { bytes, pieces } = await openExport(partsOf(world), name, packed.number ?? 0, signal);
  const file = await buffer(pieces);
  assert.equal(file.length, bytes);
  return file;
}

async function upload(world: World, file: Buffer): Promise<string> {
  const { id } = await beginUpload(uploadsOf(world), file.length);
  await writePiece(uploadsOf(world), id, 0, file);
  return id;
}

let number = 0;
async function importIt(world: World, file: Buffer, wish: { name?: string; hosts?: string[] } = {}) {
  number += 1;
  const name = wish.name ?? `import-${number}`;
  const asked = { name, hosts: wish.hosts ?? [`${name}.example`], upload: await upload(world, file) };
  return { name, view: await world.ended((await beginImport(partsOf(world), asked, tester)).id) };
}

/** The file with the first occurrence of some text replaced by another of the same length. */
function altered(file: Buffer, from: string, to: string): Buffer {
  assert.equal(from.length, to.length);
  const at = file.indexOf(from);
  assert.ok(at >= 0, `${from} is not in the file`);
  return Buffer.concat([file.subarray(0, at), Buffer.from(to), file.subarray(at + from.length)]);
}

void test('a site comes back from its file with rows, files, settings and tasks, under another host, its mail held', () =>
  withDeployedWorld(async (world) => {
    (await loginTo(world, SITE)).session.write('an order');
    (await filesOf(world, SITE)).write('uploads/a.png', 'picture');
    const { sequencer } = world.controller.rooms;
    const wish = newTaskSchema.parse({ site: SITE, name: 'report', command: ['php', 'x.php'], every: '10m' });
    await world.begin((sql) => addTask(sql, sequencer.parts, wish, tester));
    const cron = await readTask(world.store, `${SITE}/cron`);
    if (cron !== undefined) await pauseTask(sequencer.parts, cron, { by: 'ann', reason: 'a holiday' });
    const { name, view } = await importIt(world, await exportOf(world));
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    const copy = await loginTo(world, name);
    assert.deepEqual(copy.session.read(), ['an order']);
    assert.deepEqual((await filesOf(world, name)).all(), { 'uploads/a.png': 'picture' });
    assert.deepEqual([copy.site.mailHeld, copy.site.state, copy.site.hosts], [true, 'ready', [`${name}.example`]]);
    const report = await readTask(world.store, `${name}/report`);
    assert.deepEqual([report?.command, report?.everyS, report?.origin], [['php', 'x.php'], 600, 'person']);
    const pause = await readTask(world.store, `${name}/cron`);
    assert.deepEqual([pause?.pausedBy, pause?.pausedReason, pause?.nextAt], ['ann', 'a holiday', null]);
    assert.deepEqual(
      (await secretsNamed(world, name, 'app-keys')) === (await secretsNamed(world, SITE, 'app-keys')),
      false,
    );
    await assertConsistent(world);
  }));

void test('what an import makes is exported as the same parts again', () =>
  withDeployedWorld(async (world) => {
    (await loginTo(world, SITE)).session.write('an order');
    (await filesOf(world, SITE)).write('uploads/a.png', 'picture');
    const first = await exportOf(world);
    const { name } = await importIt(world, first);
    const second = await exportOf(world, name);
    const sums = (file: Buffer) =>
      [...file.toString().matchAll(/"name": "(database.sql.zst|files.tar)",\s+"bytes": \d+,\s+"sha256": "(\w+)"/g)].map(
        ([, part, sum]) => [part, sum],
      );
    assert.equal(sums(first).length, 2);
    assert.deepEqual(sums(second), sums(first));
  }));

void test('a damaged, cut, foreign or newer file, and one that does not fit, is refused and nothing changes', () =>
  withDeployedWorld(async (world) => {
    (await loginTo(world, SITE)).session.write('an order');
    await world.store.query(`UPDATE image SET app_version = '6.8.1' WHERE recipe = 'wordpress'`);
    const file = await exportOf(world);
    const before = (await listSites(world.store)).length;
    const refused = async (bytes: Buffer, code: string, wish: { name?: string; hosts?: string[] } = {}) => {
      await assert.rejects(importIt(world, bytes, wish), { code });
      assert.equal((await listSites(world.store)).length, before);
    };
    await refused(Buffer.from('no archive at all'), 'transfer.not-an-export');
    await refused(file.subarray(0, file.length - 2048), 'transfer.not-an-export');
    await refused(altered(file, 'espalier-site', 'espalier-shop'), 'transfer.not-an-export');
    await refused(altered(file, '"version": 1', '"version": 9'), 'transfer.newer-format');
    await refused(altered(file, '"title": "', '"title": X'), 'transfer.not-an-export');
    await refused(altered(file, '"adminUser": "admin"', '"adminUser": "nimda"'), 'transfer.damaged');
    await refused(file, 'site.taken', { name: SITE });
    await refused(file, 'site.host-taken', { hosts: ['mediawiki.localhost'] });
    await world.store.query(`UPDATE image SET app_version = '6.8' WHERE recipe = 'wordpress'`);
    await refused(file, 'transfer.newer-app');
    await world.store.query(`UPDATE image SET app_version = '6.10' WHERE recipe = 'wordpress'`);
    const { view } = await importIt(world, altered(file, 'an order', 'no order'));
    assert.deepEqual([view.state, view.problem?.code], ['recovered', 'transfer.damaged']);
    assert.equal((await listSites(world.store)).length, before);
    await assertConsistent(world);
  }));

void test('a rehearsal says what would come and leaves nothing', () =>
  withDeployedWorld(async (world) => {
    const file = await exportOf(world);
    const wish = { name: 'other', hosts: ['other.example'], upload: await upload(world, file) };
    const plan = await planImport(partsOf(world), wish);
    assert.match(
      plan.join('\n'),
      /Links to wordpress.localhost:8080, wordpress.localhost become links to other.example:8080/,
    );
    assert.equal(await readSite(world.store, 'other'), undefined);
    await assert.rejects(planImport(partsOf(world), { ...wish, name: SITE }), { code: 'site.taken' });
    await assertConsistent(world);
  }));

void test('pieces of an upload come in order; one sent again changes nothing', () =>
  withDeployedWorld(async (world) => {
    const folder = uploadsOf(world);
    const { id } = await beginUpload(folder, 10);
    await writePiece(folder, id, 0, Buffer.from('hello'));
    await writePiece(folder, id, 0, Buffer.from('hello'));
    await assert.rejects(writePiece(folder, id, 7, Buffer.from('x')), { code: 'transfer.wrong-offset' });
    await writePiece(folder, id, 5, Buffer.from('world'));
    assert.equal(await readFile(pathOfUpload(folder, id), 'utf8'), 'helloworld');
    await assert.rejects(writePiece(folder, '../../etc/passwd', 0, Buffer.from('x')), { code: 'transfer.no-upload' });
  }));

async function secretsNamed(world: World, name: string, secret: string): Promise<string | undefined> {
  const id = (await readSite(world.store, name))?.id ?? '';
  const all = await world.controller.platform.secrets.readAll(world.store, secretsOf(id));
  return all[`${secretsOf(id)}${secret}`];
}

const FOREIGN = ['options', 'postmeta', 'usermeta'].map((name) => `CREATE TABLE \`x7_${name}\` (\n);\n`).join('');
const FOUND = { links: ['old.example'], version: 'database 1', isNewer: false, missing: ['plugin woocommerce'] };

/** What the app's commands of an imported site answer. */
function answerRead(world: World, found: object = FOUND): string[] {
  const commands: string[] = [];
  world.controller.rooms.simulatedAgents?.setExec((argv) => {
    commands.push(argv.join(' '));
    const isRead = argv[0]?.endsWith('/read-imported') === true;
    return { code: 0, stdout: isRead ? JSON.stringify(found) : '', stderr: '' };
  });
  return commands;
}

async function adopt(world: World, dump: string | Buffer, app = 'wordpress') {
  number += 1;
  const name = `adopted-${number}`;
  const wish = newAdoptionSchema.parse({
    ...{ name, app, hosts: [`${name}.example`], dump: await upload(world, Buffer.from(dump)) },
  });
  return { name, view: await world.ended((await beginAdoption(partsOf(world), wish, tester)).id) };
}

void test('an installation from elsewhere becomes a site: its prefix is found, its tables upgraded, its links rewritten', () =>
  withDeployedWorld(async (world) => {
    const commands = answerRead(world);
    const { name, view } = await adopt(world, gzipSync(FOREIGN));
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    const site = await readSite(world.store, name);
    assert.deepEqual([site?.settings.tablePrefix, site?.mailHeld, site?.state], ['x7_', true, 'ready']);
    const own = commands.filter((command) => command.startsWith('/usr/lib/espalier/'));
    assert.deepEqual(
      own.slice(0, 3).map((command) => command.split(/[ /]/).slice(4, 6).join('/')),
      ['app/read-imported', 'app/upgrade', 'rewrite-links/--skip=posts.guid'],
    );
    const tidy = view.steps.find((step) => step.name === 'tidy')?.output;
    assert.deepEqual(tidy, { missing: ['plugin woocommerce'] });
    await assertConsistent(world);
  }));

void test('a dump of another app, of several databases, of newer data or packed strangely is refused and taken back', () =>
  withDeployedWorld(async (world) => {
    const before = (await listSites(world.store)).length;
    const refused = async (dump: string | Buffer, code: string) => {
      const { view } = await adopt(world, dump);
      assert.equal(view.problem?.code, code);
      assert.equal((await listSites(world.store)).length, before);
    };
    answerRead(world);
    await refused('CREATE TABLE `page` (\n);\n', 'transfer.wrong-dump');
    await refused(`USE \`a\`;\n${FOREIGN}USE \`b\`;\n`, 'transfer.wrong-dump');
    await refused(Buffer.from('425a6839', 'hex'), 'transfer.wrong-file');
    answerRead(world, { ...FOUND, isNewer: true });
    await refused(FOREIGN, 'transfer.newer-app');
    answerRead(world, { ...FOUND, refuse: 'a network of sites' });
    await refused(FOREIGN, 'transfer.wrong-dump');
    answerRead(world, { ...FOUND, needed: ['theme astra'] });
    await refused(FOREIGN, 'transfer.lacks');
    answerRead(world, { nonsense: 1 });
    await refused(FOREIGN, 'transfer.read-failed');
    await assertConsistent(world);
  }));

let exported: Promise<Buffer> | undefined;
describeTrials('transfers under faults', {
  'an export': {
    kind: 'site.export',
    async prepare(world) {
      (await filesOf(world, SITE)).write('uploads/a.png', 'picture');
      const { id = '' } = (await readSite(world.store, SITE)) ?? {};
      return (sql, { platform }) =>
        platform.operations.start(sql, 'site.export', { site: id, name: SITE, by: 'test' }, tester);
    },
  },
  // The last ones: they leave many sites, which would slow the others.
  'the import of an installation from elsewhere': {
    kind: 'site.adopt',
    async prepare(world) {
      const answer = (argv: readonly string[]) => ({
        ...{ code: 0, stderr: '' },
        stdout: argv[0]?.endsWith('/read-imported') === true ? JSON.stringify(FOUND) : '',
      });
      world.answer = answer;
      world.controller.rooms.simulatedAgents?.setExec(answer);
      number += 1;
      const name = `adopted-${number}`;
      const dump = await upload(world, Buffer.from(FOREIGN));
      const files = await upload(world, Buffer.from(JSON.stringify({ 'wp-content/uploads/a.png': 'picture' })));
      const hosts = [`${name}.example`];
      const wish = newAdoptionSchema.parse({ name, app: 'wordpress', hosts, dump, files });
      return (sql, { rooms }) => startAdoption(rooms.parts.sites, sql, wish, tester);
    },
  },
  'an import': {
    kind: 'site.import',
    async prepare(world) {
      exported ??= exportOf(world);
      const id = await upload(world, await exported);
      number += 1;
      const name = `import-${number}`;
      const wish = { name, hosts: [`${name}.example`], upload: id };
      const archive = await readArchive(pathOfUpload(uploadsOf(world), id));
      return (sql, { rooms }) => startImport(rooms.parts.sites, sql, wish, archive, tester);
    },
  },
});
