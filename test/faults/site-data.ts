// What a simulated site holds, as its customers would write and read it: rows in its database, files on its volume.
import { secretsOf } from '../../src/sites/parts.ts';
import { readSite, type SiteRow } from '../../src/sites/store.ts';
import { DEPLOYMENT, type World } from './world.ts';

async function read(world: World, name: string): Promise<SiteRow> {
  const site = await readSite(world.store, name);
  if (site === undefined) throw new Error(`there is no site ${name}`);
  return site;
}

/** The site, its password, and a session of its own at its database server. */
export async function loginTo(world: World, name: string) {
  const site = await read(world, name);
  const key = `${secretsOf(site.id)}database-password`;
  const { [key]: password = '' } = await world.controller.platform.secrets.readAll(world.store, secretsOf(site.id));
  const twin = world.databases.get(`database-${site.databaseServer}`);
  if (twin === undefined) throw new Error('the site has no database server');
  return { site, password, session: twin.login(site.id, password, site.id) };
}

/** The site's files, by their paths in its folder. */
export async function filesOf(world: World, name: string) {
  const { id, pool } = await read(world, name);
  const volume = world.machine.projects[DEPLOYMENT]?.volumes[`content-${pool}`];
  if (volume === undefined) throw new Error(`the pool ${pool} has no volume`);
  volume.files ??= {};
  const { files } = volume;
  const folder = `/srv/content/${id}/`;
  return {
    write(path: string, content: string): void {
      files[`${folder}${path}`] = content;
    },
    all: () =>
      Object.fromEntries(
        Object.entries(files)
          .filter(([path]) => path.startsWith(folder))
          .map(([path, content]) => [path.slice(folder.length), content]),
      ),
  };
}
