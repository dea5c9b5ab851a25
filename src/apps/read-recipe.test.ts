import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Problem } from '../lib/errors.ts';
import { bakeLayers, renderBaseBuild } from './bake.ts';
import { listRecipes, readBase, readLayer, readRecipe } from './read-recipe.ts';

const root = join(import.meta.dirname, '../..');
const hello = join(root, 'test/apps/hello');

/** A folder `demo` with the hello recipe, changed; removed after the test. */
async function makeRecipe(t: TestContext, change: (yaml: string) => string, file = 'app.yaml'): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'recipe-'));
  t.after(() => rm(parent, { recursive: true }));
  const folder = join(parent, 'demo');
  await mkdir(join(folder, 'files'), { recursive: true });
  const yaml = (await readFile(join(hello, 'app.yaml'), 'utf8')).replace('name: hello', 'name: demo');
  await writeFile(join(folder, file), change(yaml));
  return folder;
}

async function readFault(folder: string): Promise<string> {
  const thrown: unknown = await readRecipe(folder).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(thrown instanceof Problem, 'the recipe was read without a problem');
  return thrown.document.detail.replaceAll(`${folder}/`, '');
}

void test('Every recipe of the repository is valid', async () => {
  const { recipes, problems } = await listRecipes([
    join(root, 'apps'),
    join(root, 'services'),
    join(root, 'test/apps'),
  ]);
  assert.deepEqual(problems, []);
  const apps = recipes.filter((recipe) => recipe.kind === 'app').map((recipe) => recipe.value.name);
  for (const app of ['hello', 'mautic', 'mediawiki', 'moodle', 'wordpress']) assert.ok(apps.includes(app), app);
});

void test('A recipe is read with its defaults', async () => {
  const { kind, value } = await readRecipe(hello);
  assert.equal(kind, 'app');
  assert.equal(value.title, 'Hello');
  assert.deepEqual(value.tasks, [
    { name: 'tick', command: ['php', '/usr/lib/espalier/app/tick.php'], every: '1m', timeoutS: 30, class: 'normal' },
  ]);
  assert.deepEqual(value.site?.content, ['files']);
});

const faults: [about: string, from: string | RegExp, to: string, detail: string][] = [
  [
    'an unknown key',
    'title: Hello',
    'titel: Hello',
    'app.yaml:3: title is missing; app.yaml:4: titel is no key of a recipe.',
  ],
  [
    'a wrong base',
    'base: trixie',
    'base: sid',
    'app.yaml:6: base Invalid option: expected one of "trixie"|"bookworm".',
  ],
  ['a nested key', 'status: 200', 'status: ok', 'app.yaml:16: site.check.status Invalid input: expected number'],
  ['a path', 'path: /', 'path: login', 'app.yaml:15: site.check.path must be a path beginning with "/".'],
  ['a limit', 'uploadMb: 8', 'uploadMb: 5000', 'app.yaml:29: site.limits.uploadMb Too big'],
  ['a missing limit', /\n {4}uploadMb: 8/, '', 'app.yaml:25: site.limits.uploadMb is missing.'],
  ['a schedule', 'every: 1m', 'every: often', 'app.yaml:38: tasks.0.every must be a number with s, m, h or d ("5m")'],
  ['an empty command', /command: .*/, 'command: []', 'app.yaml:37: tasks.0.command Too small'],
  [
    'a package',
    'packages: []',
    'packages: [php, "a b"]',
    'app.yaml:7: packages.1 must be the name of a Debian package.',
  ],
  [
    'a folder that is not there',
    'files: ./files',
    'files: ./tree',
    'app.yaml:8: files names ./tree, which is no folder',
  ],
  ['a path that leads out', 'files: ./files', 'files: /etc', 'app.yaml:8: files must be a path inside the recipe'],
  ['another name', 'name: demo', 'name: other', 'app.yaml:3: name must be the folder\'s name, "demo".'],
  ['the end of the file', /site:[\s\S]*/, '', 'app.yaml:3: site is missing: an app says how a site is made.'],
  ['two tasks of a name', /( {2}- name: tick[\s\S]*)/, '$1$1', 'app.yaml:35: tasks must not name a task twice.'],
  ['indentation', '  check:', '   check:', 'app.yaml:14: All mapping items must start at the same column'],
  ['a key twice', 'status: tried', 'status: tried\nstatus: tried', 'app.yaml:6: Map keys must be unique'],
  ['no document at all', /[\s\S]*/, 'hello', 'app.yaml:1: Invalid input: expected object'],
  ['a secret without size', '{ bytes: 16 }', '{ bytes: 2 }', 'app.yaml:21: site.secrets.greeting.bytes Too small'],
];
for (const [about, from, to, detail] of faults) {
  void test(`A fault is named with file and line: ${about}`, async (t) => {
    const folder = await makeRecipe(t, (yaml) => {
      const changed = yaml.replace(from, to);
      assert.notEqual(changed, yaml, 'the test changes nothing');
      return changed;
    });
    const found = await readFault(folder);
    assert.ok(found.startsWith(detail), `expected ${detail}\n  actual ${found}`);
  });
}

void test('All faults are named at once, in the order of their lines', async (t) => {
  const folder = await makeRecipe(t, (yaml) =>
    yaml.replace('base: trixie', 'base: sid').replace('- name: tick', '- nam: x'),
  );
  assert.match(
    await readFault(folder),
    /^app\.yaml:6: base .*; app\.yaml:36: tasks\.0\.name .*; app\.yaml:36: tasks\.0\.nam is no key/,
  );
});

void test('A service has no site and no tasks', async (t) => {
  const folder = await makeRecipe(t, (yaml) => yaml, 'service.yaml');
  assert.match(
    await readFault(folder),
    /service\.yaml:11: site is only for apps; service\.yaml:35: tasks are only for apps/,
  );
});

void test('A folder without a recipe is a problem of its own when named, and passed over in a list', async (t) => {
  const folder = await makeRecipe(t, (yaml) => yaml);
  await mkdir(join(folder, '../empty'));
  await assert.rejects(readRecipe(join(folder, '../empty')), { code: 'apps.recipe-missing' });
  const { recipes, problems } = await listRecipes([join(folder, '..')]);
  assert.deepEqual(
    recipes.map((recipe) => recipe.value.name),
    ['demo'],
  );
  assert.deepEqual(problems, []);
});

void test('A bad recipe and a second one of the same name hide no other', async (t) => {
  const one = await makeRecipe(t, (yaml) => yaml);
  const two = await makeRecipe(t, (yaml) => yaml);
  const bad = await makeRecipe(t, () => 'name: [');
  const { recipes, problems } = await listRecipes([join(one, '..'), join(two, '..'), join(bad, '..')]);
  assert.deepEqual(
    recipes.map((recipe) => recipe.folder),
    [one],
  );
  assert.deepEqual(
    problems.map((problem) => problem.code),
    ['apps.recipe-twice', 'apps.recipe-invalid'],
  );
});

void test('The hash changes with a content, a name or an execute bit, and not with reading again', async (t) => {
  const folder = await makeRecipe(t, (yaml) => yaml);
  const hashes = [(await readRecipe(folder)).hash];
  await writeFile(join(folder, 'files/a'), 'x');
  hashes.push((await readRecipe(folder)).hash);
  await writeFile(join(folder, 'files/a'), 'y');
  hashes.push((await readRecipe(folder)).hash);
  await chmod(join(folder, 'files/a'), 0o755);
  hashes.push((await readRecipe(folder)).hash);
  assert.equal(new Set(hashes).size, 4);
  assert.equal((await readRecipe(folder)).hash, hashes[3]);
});

void test('An app is baked of the node layer and its own, a service of its own alone', async () => {
  const node = await readLayer(join(root, 'apps/node'));
  const layers = bakeLayers(await readRecipe(hello), node);
  assert.deepEqual(
    layers.map((layer) => layer.name),
    ['node', 'hello'],
  );
  assert.deepEqual(layers[1]?.generated, [{ path: '/usr/lib/espalier/app/content', content: 'files\n', mode: 0o644 }]);
  const services = await listRecipes([join(root, 'services')]);
  for (const service of services.recipes) assert.equal(bakeLayers(service, node).length, 1);
});

void test('An app with an archive is told where it lies', async () => {
  const layers = bakeLayers(await readRecipe(join(root, 'apps/mautic')), await readLayer(join(root, 'apps/node')));
  assert.equal(layers[1]?.environment.ESPALIER_ARCHIVE, '/var/tmp/espalier-archive');
});

void test('The base is one mmdebstrap command; its hooks quote paths for the shell', async () => {
  const { value: base } = await readBase(join(root, 'apps/base'));
  const argv = renderBaseBuild({
    base,
    suite: 'bookworm',
    filesTar: "/it's/f.tar",
    prepareScript: '/p s',
    out: '/o.tar',
  });
  assert.deepEqual(argv.slice(0, 3), ['mmdebstrap', '--variant=minbase', `--include=${base.packages.join(',')}`]);
  assert.deepEqual(argv.slice(-4), [
    "--customize-hook=tar-in '/it'\\''s/f.tar' /",
    `--customize-hook=chroot "$1" /bin/sh -s <'/p s'`,
    'bookworm',
    '/o.tar',
  ]);
});
