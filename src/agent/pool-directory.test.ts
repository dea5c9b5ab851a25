// A pool's directory in a real folder: what a node reads after each change, and that nothing else is there.
import assert from 'node:assert/strict';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import type { SiteDocument } from '../protocol/site-document.ts';
import { makePoolDirectory } from './pool-directory.ts';
import { renderSiteVersion, renderUserRecords } from './render-site.ts';

function makeDocument(given: Partial<SiteDocument> & { site: string }): SiteDocument {
  const hosts = given.hosts ?? [`${given.site}.example`];
  return {
    ...{ name: 'acme', app: 'wordpress', version: 1, uid: 20_000, state: 'ready', title: 'Acme' },
    ...{ primaryHost: hosts[0] ?? '', url: `http://${hosts[0]}`, secrets: {}, settings: {} },
    database: { host: '10.0.0.2', port: 3306, name: given.site, user: given.site, password: 'p' },
    cache: { host: '10.0.0.3', port: 6379, user: given.site, password: 'p', prefix: `${given.site}:` },
    limits: {
      ...{ phpWorkers: 2, phpMemoryMb: 64, requestTimeoutS: 30, uploadMb: 8 },
      ...{ requestsPerS: 10, connections: 10, databaseConnections: 5, statementTimeS: 30 },
    },
    ...given,
    hosts,
  };
}

/** Everything below a folder: links with their targets, files with what is in them, modes and owners. */
async function readAll(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1);
    if (entry.isSymbolicLink()) found[name] = `-> ${await readlink(path)}`;
    if (!entry.isFile()) continue;
    const { mode, uid, gid } = await lstat(path);
    found[name] = `${(mode & 0o777).toString(8)} ${uid}:${gid} ${await readFile(path, 'utf8')}`;
  }
  return found;
}

/** What a node should find when these sites stand in the pool. */
function renderAll(documents: readonly SiteDocument[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const document of documents) {
    const { site } = document;
    for (const [folder, entries] of [
      [`sites/${site}`, renderSiteVersion(document)],
      ['userdb', renderUserRecords(document)],
    ] as const) {
      for (const entry of entries) {
        const text = 'linkTo' in entry ? `-> ${entry.linkTo}` : undefined;
        const { mode = 0, uid = 0, gid = 0, content = '' } = 'linkTo' in entry ? {} : entry;
        found[`${folder}/${entry.path}`] = text ?? `${mode.toString(8)} ${uid}:${gid} ${content}`;
      }
    }
    for (const host of document.hosts) found[`hosts/${host}`] = `-> ../sites/${site}`;
  }
  return found;
}

const isRoot = process.getuid?.() === 0;

void describe("a pool's directory", { skip: isRoot ? false : 'only root may give files away' }, () => {
  const roots: string[] = [];
  after(() => Promise.all(roots.map((root) => rm(root, { recursive: true }))));

  async function makeDirectory() {
    const root = join(await mkdtemp(join(tmpdir(), 'espalier-pool-')), 'wordpress');
    roots.push(join(root, '..'));
    const directory = makePoolDirectory(root);
    await directory.prepare();
    let version = 0;
    /** Brings the directory to exactly these sites, as a sync does. */
    const write = (present: readonly SiteDocument[], changed = present) => {
      version += 1;
      return directory.write({ version, changed, present: present.map(({ site }) => site) });
    };
    return { root, directory, write, read: () => readAll(directory.configDir) };
  }

  const one = makeDocument({ site: 'saaaaaaaaa', uid: 20_000, hosts: ['one.example', 'www-one.example'] });
  const two = makeDocument({ site: 'sbbbbbbbbb', uid: 20_001, hosts: ['two.example'] });

  void it('holds what is rendered of each site, readable for its own user only, and the version', async () => {
    const { directory, write, read } = await makeDirectory();
    assert.equal(await directory.readVersion(), 0);
    await write([one, two]);
    assert.deepEqual(await read(), renderAll([one, two]));
    assert.equal(await directory.readVersion(), 1);
    const secret = await lstat(join(directory.configDir, 'sites', one.site, 'site.json'));
    assert.deepEqual([secret.mode & 0o777, secret.uid, secret.gid], [0o440, 0, one.uid]);
  });

  void it('another process that opens it finds the same version', async () => {
    const { root, write } = await makeDirectory();
    await write([one]);
    const again = makePoolDirectory(root);
    await again.prepare();
    assert.equal(await again.readVersion(), 1);
  });

  void it('a suspended site keeps its settings and loses its PHP', async () => {
    const { write, read } = await makeDirectory();
    await write([one]);
    const suspended = { ...one, state: 'suspended' as const, version: 2 };
    await write([suspended]);
    assert.deepEqual(await read(), renderAll([suspended]));
  });

  void it('a site that goes leaves nothing, also when its file is broken', async () => {
    const { directory, write, read } = await makeDirectory();
    await write([one, two]);
    await writeFile(join(directory.configDir, 'sites', two.site, 'site.json'), '');
    assert.deepEqual(await write([one], []), { removed: [two.site] });
    assert.deepEqual(await read(), renderAll([one]));
  });

  void it("a new site may have the host names and the user's number of one that goes in the same change", async () => {
    const { write, read } = await makeDirectory();
    await write([one]);
    const heir = makeDocument({ site: 'sccccccccc', uid: one.uid, hosts: one.hosts });
    await write([heir]);
    assert.deepEqual(await read(), renderAll([heir]));
  });

  void it('a host name moves from one site to another', async () => {
    const { write, read } = await makeDirectory();
    await write([one, two]);
    const poorer = { ...one, hosts: ['one.example'], version: 2 };
    const richer = { ...two, hosts: ['two.example', 'www-one.example'], version: 2 };
    for (const changed of [
      [poorer, richer],
      [richer, poorer],
    ]) {
      await write([poorer, richer], changed);
      assert.deepEqual(await read(), renderAll([poorer, richer]));
      await write([one, two]);
    }
  });

  void it('a host name that looks like the draft of another is left alone', async () => {
    const { write, read } = await makeDirectory();
    const draftLike = { ...two, hosts: ['shop.example.new'] };
    await write([draftLike]);
    const other = { ...one, hosts: ['shop.example'] };
    await write([draftLike, other], [other]);
    assert.deepEqual(await read(), renderAll([draftLike, other]));
  });

  void it('what an interrupted change left is written over', async () => {
    const { directory, write, read } = await makeDirectory();
    await write([one]);
    const folder = join(directory.configDir, 'sites', one.site);
    await writeFile(join(folder, '.site.json.new'), 'half');
    await symlink('/nowhere', join(folder, '.php.sock.new'));
    await symlink('../sites/x', join(directory.configDir, 'hosts', '.one.example.new'));
    await mkdir(join(directory.configDir, 'sites', 'sddddddddd'));
    const next = { ...one, version: 2, hosts: ['new.example'] };
    await write([next]);
    const { 'hosts/.one.example.new': _, ...found } = await read();
    assert.deepEqual(found, renderAll([next]));
  });

  void it('who may speak for visitors is new only when it is another', async () => {
    const { directory } = await makeDirectory();
    assert.equal(await directory.writeProxies(['10.0.0.5/32']), true);
    assert.equal(await directory.writeProxies(['10.0.0.5/32']), false);
    assert.equal(await directory.writeProxies([]), true);
    assert.equal(await readFile(join(directory.configDir, 'trusted-proxies'), 'utf8'), '');
  });

  void it('whatever happened before, it holds the sites of the last change and nothing else', async () => {
    const anySites = fc.uniqueArray(
      fc.record({
        letter: fc.constantFrom('a', 'b', 'c', 'd'),
        uid: fc.integer({ min: 20_000, max: 20_003 }),
        hosts: fc.uniqueArray(fc.constantFrom('w', 'x', 'x.new', 'y', 'y.new', 'z'), { minLength: 1, maxLength: 2 }),
        state: fc.constantFrom<SiteDocument['state']>('ready', 'suspended', 'maintenance'),
      }),
      { selector: ({ letter }) => letter, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anySites, { minLength: 1, maxLength: 4 }), async (changes) => {
        const { write, read } = await makeDirectory();
        for (const [at, sites] of changes.entries()) {
          // As the store sees to it: a host name and a number belong to one site at a time.
          const hosts = new Set<string>();
          const uids = new Set<number>();
          const documents = sites.flatMap(({ letter, uid, ...rest }) => {
            const free = rest.hosts.filter((host) => !hosts.has(host));
            if (free.length === 0 || uids.has(uid)) return [];
            uids.add(uid);
            for (const host of free) hosts.add(host);
            // A site keeps its number for life: another number is another site.
            return [makeDocument({ ...rest, hosts: free, site: `s${letter}${uid}xxx`, uid, version: at + 1 })];
          });
          await write(documents);
          assert.deepEqual(await read(), renderAll(documents));
        }
      }),
      { numRuns: 25 },
    );
  });
});
