// One pool's directory on this server, which all its nodes mount at /etc/espalier: sites, host names, Unix users. The
// only place that writes there. Every file changes by a rename, under a path that stays: PHP remembers for minutes where a
// link led. site.json is written last. What stands here is also the last good copy while the controller is away.
import { chmod, chown, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SiteDocument } from '../protocol/site-document.ts';
import { type RenderedEntry, renderSiteVersion, renderUserRecords } from './render-site.ts';

/** What the app's PHP reads; with it a site's new version counts. */
const SITE_FILE = 'site.json';

export interface PoolDirectory {
  /** The path that nodes mount. */
  readonly configDir: string;
  /** Makes the folders; safe to repeat. */
  prepare(): Promise<void>;
  /** The controller's version that the directory holds; 0 when new. */
  readVersion(): Promise<number>;
  /** Writes changed sites, removes those that are not `present`, then records `version`. */
  write(change: {
    version: number;
    changed: readonly SiteDocument[];
    present: readonly string[];
  }): Promise<{ removed: string[] }>;
  /** Names who may speak for a visitor; true when that is new, so that nodes must apply it. */
  writeProxies(networks: readonly string[]): Promise<boolean>;
  remove(): Promise<void>;
}

/** `root`: the agent's folder of this pool, for instance `<data>/agent/pools/wordpress`. */
export function makePoolDirectory(root: string): PoolDirectory {
  const configDir = join(root, 'config');
  const inConfig = (...parts: string[]) => join(configDir, ...parts);
  const versionFile = join(root, 'version');

  async function writeEntries(base: string, entries: readonly RenderedEntry[]): Promise<void> {
    for (const entry of entries) {
      const path = join(base, entry.path);
      await mkdir(dirname(path), { recursive: true });
      if ('linkTo' in entry) await replaceLink(path, entry.linkTo);
      else await replaceFile(path, entry.content, entry);
    }
  }

  async function writeSite(document: SiteDocument): Promise<void> {
    const folder = inConfig('sites', document.site);
    const entries = renderSiteVersion(document);
    const last = entries.filter((entry) => entry.path === SITE_FILE);
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await writeEntries(inConfig('userdb'), renderUserRecords(document));
    await writeEntries(folder, [...entries.filter((entry) => entry.path !== SITE_FILE), ...last]);
    const wanted = new Set(entries.map((entry) => entry.path));
    for (const path of await readdir(folder)) if (!wanted.has(path)) await rm(join(folder, path), { force: true });
    for (const host of document.hosts) await replaceLink(inConfig('hosts', host), join('..', 'sites', document.site));
    await removeHosts(document.site, new Set(document.hosts));
  }

  async function removeHosts(site: string, keep: ReadonlySet<string>): Promise<void> {
    for (const host of await readdir(inConfig('hosts'))) {
      if (keep.has(host)) continue;
      const target = await readlink(inConfig('hosts', host)).catch(() => '');
      if (target === join('..', 'sites', site)) await rm(inConfig('hosts', host), { force: true });
    }
  }

  async function removeSite(site: string): Promise<void> {
    await removeHosts(site, new Set());
    const text = await readFile(inConfig('sites', site, SITE_FILE), 'utf8').catch(() => undefined);
    await rm(inConfig('sites', site), { recursive: true, force: true });
    if (text !== undefined) {
      for (const entry of renderUserRecords(JSON.parse(text) as SiteDocument)) {
        await rm(inConfig('userdb', entry.path), { force: true });
      }
    }
  }

  return {
    configDir,
    async prepare() {
      await mkdir(root, { recursive: true, mode: 0o755 });
      await mkdir(inConfig('userdb'), { recursive: true, mode: 0o755 });
      for (const folder of ['sites', 'hosts']) {
        await mkdir(inConfig(folder), { recursive: true });
        // Who knows a name may go through; no site may list the others.
        await chmod(inConfig(folder), 0o711);
      }
    },
    async readVersion() {
      const text = await readFile(versionFile, 'utf8').catch(() => '0');
      return Number.parseInt(text, 10) || 0;
    },
    async write({ version, changed, present }) {
      for (const document of changed) await writeSite(document);
      const keep = new Set(present);
      const removed = (await readdir(inConfig('sites'))).filter((site) => !keep.has(site));
      for (const site of removed) await removeSite(site);
      await replaceFile(versionFile, String(version), { mode: 0o600, uid: 0, gid: 0 });
      return { removed };
    },
    async writeProxies(networks) {
      const text = networks.map((network) => `${network}\n`).join('');
      const path = inConfig('trusted-proxies');
      if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return false;
      await replaceFile(path, text, { mode: 0o444, uid: 0, gid: 0 });
      return true;
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

/** Puts a link in place of whatever link was there, in one rename. */
async function replaceLink(path: string, target: string): Promise<void> {
  if ((await readlink(path).catch(() => undefined)) === target) return;
  const draft = `${path}.new`;
  await rm(draft, { force: true });
  await symlink(target, draft);
  await rename(draft, path);
}

async function replaceFile(
  path: string,
  content: string,
  attributes: { mode: number; uid: number; gid: number },
): Promise<void> {
  const draft = `${path}.new`;
  await writeFile(draft, content, { mode: 0o600 });
  await chown(draft, attributes.uid, attributes.gid);
  await chmod(draft, attributes.mode);
  await rename(draft, path);
}
