// What is asked of apt and dpkg, word for word.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  listMissingPackages,
  parseTargets,
  renderBackportsSource,
  renderInstallCommand,
  withSubIdRange,
} from './packages.ts';

const TARGETS = `bookworm\tmain\thttp://mirror.test/debian/\tPackages
bookworm\tmain\thttp://mirror.test/debian/\tTranslations
bookworm-updates\tmain\thttp://mirror.test/debian/\tPackages
`;
const bookworm = { codename: 'bookworm' } as Parameters<typeof renderBackportsSource>[0];

void test('Debian 12 gets backports from its own mirror, once, and Debian 13 gets nothing', () => {
  assert.equal(
    renderBackportsSource(bookworm, parseTargets(TARGETS)),
    `# Written by \`espalier up\`: Incus for Debian 12.
Types: deb
URIs: http://mirror.test/debian/
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`,
  );
  const has = `${TARGETS}bookworm-backports\tmain\thttp://other.test/debian/\tPackages\n`;
  assert.equal(renderBackportsSource(bookworm, parseTargets(has)), undefined);
  assert.equal(renderBackportsSource({ ...bookworm, codename: 'trixie' }, parseTargets(TARGETS)), undefined);
  assert.equal(renderBackportsSource(bookworm, []), undefined);
});

void test('only packages that are installed whole count, and the package incus of others stands for two of ours', () => {
  const all = listMissingPackages('');
  assert.ok(all.includes('incus-base') && all.includes('mmdebstrap'));
  const output = `${all.map((name) => `${name} installed\n`).join('')}`;
  assert.deepEqual(listMissingPackages(output, ['chromium']), ['chromium']);
  assert.deepEqual(listMissingPackages(output.replace('rsync installed', 'rsync half-configured')), ['rsync']);
  assert.deepEqual(listMissingPackages(output.replaceAll(/^incus-.*\n/gm, '').concat('incus installed\n')), []);
});

void test('the installation asks nothing, waits for another apt, and brings no recommendations', () => {
  assert.deepEqual(renderInstallCommand(['rsync']), [
    ...['apt-get', 'install', '--yes', '--no-install-recommends', '--option', 'DPkg::Lock::Timeout=300'],
    ...['--option', 'Dpkg::Options::=--force-confold', 'rsync'],
  ]);
});

void test('root gets a range of sub-ids when it has none, and nothing else is touched', () => {
  assert.equal(withSubIdRange(''), 'root:1000000:1000000000\n');
  assert.equal(withSubIdRange('anna:100000:65536'), 'anna:100000:65536\nroot:1000000:1000000000\n');
  assert.equal(withSubIdRange('anna:1:2\nroot:500000:65536\n'), undefined);
});
