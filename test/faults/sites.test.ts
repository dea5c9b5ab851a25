// Every operation of sites under faults: steps twice, failures and kills everywhere.
import { newSiteSchema, startSiteCreate } from '../../src/sites/admit.ts';
import { startSiteClone } from '../../src/sites/clone.ts';
import { startSiteDelete } from '../../src/sites/delete.ts';
import { startHold } from '../../src/sites/hold.ts';
import { startSetLimits } from '../../src/sites/limits.ts';
import { startSetHosts } from '../../src/sites/set-hosts.ts';
import { readSite } from '../../src/sites/store.ts';
import { startSiteChange } from '../../src/sites/suspend.ts';
import { describeTrials } from './trials.ts';
import { tester, type World } from './world.ts';

const SITE = 'wordpress';
const DAY_S = 86_400;

/** Runs what brings a site from its state to the wanted one. */
async function bring(world: World, name: string, wanted: 'ready' | 'suspended' | 'archived'): Promise<void> {
  const state = (await readSite(world.store, name))?.state;
  if (state === wanted) return;
  if (state !== 'ready')
    await world.run((sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'resume', name, tester));
  if (wanted === 'suspended')
    await world.run((sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'suspend', name, tester));
  if (wanted === 'archived')
    await world.run((sql, { rooms }) => startSiteDelete(rooms.parts.sites, sql, name, DAY_S, tester));
}

let number = 0;
const wishNew = () => {
  number += 1;
  const name = `site-${number}`;
  return newSiteSchema.parse({ name, app: 'mediawiki', hosts: [`${name}.example`, `www-${name}.example`] });
};
describeTrials('sites under faults', {
  'a suspension': {
    kind: 'site.suspend',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      return (sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'suspend', SITE, tester);
    },
  },
  'the return from a suspension': {
    kind: 'site.resume',
    async prepare(world) {
      await bring(world, SITE, 'suspended');
      return (sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'resume', SITE, tester);
    },
  },
  'the return from the archive': {
    kind: 'site.resume',
    async prepare(world) {
      await bring(world, SITE, 'archived');
      return (sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'resume', SITE, tester);
    },
  },
  'a change of host names': {
    kind: 'site.set-hosts',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      number += 1;
      const hosts = [`new-${number}.example`, 'wordpress.localhost'];
      return (sql, { rooms }) => startSetHosts(rooms.parts.sites, sql, SITE, hosts, tester);
    },
  },
  'a change of limits': {
    kind: 'site.set-limits',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      number += 1;
      const changes = { requestsPerS: number, phpWorkers: number, databaseConnections: number };
      return (sql, { rooms }) => startSetLimits(rooms.parts.sites, sql, SITE, changes, tester);
    },
  },
  'holding mail back': {
    kind: 'site.set-mail',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      const held = (await readSite(world.store, SITE))?.mailHeld !== true;
      return (sql, { rooms }) => startHold(rooms.parts.sites, sql, SITE, { what: 'mail', held }, tester);
    },
  },
  'holding hooks back': {
    kind: 'site.set-hooks',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      const held = (await readSite(world.store, SITE))?.hooksHeld !== true;
      return (sql, { rooms }) => startHold(rooms.parts.sites, sql, SITE, { what: 'hooks', held }, tester);
    },
  },
  'a clone': {
    kind: 'site.clone',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      const { name, hosts } = wishNew();
      return (sql, { rooms }) => startSiteClone(rooms.parts.sites, sql, SITE, { name, hosts }, tester);
    },
  },
  'a deletion': {
    kind: 'site.delete',
    async prepare(world) {
      await bring(world, SITE, 'ready');
      return (sql, { rooms }) => startSiteDelete(rooms.parts.sites, sql, SITE, DAY_S, tester);
    },
  },
  'the deletion of a suspended site': {
    kind: 'site.delete',
    async prepare(world) {
      await bring(world, SITE, 'suspended');
      return (sql, { rooms }) => startSiteDelete(rooms.parts.sites, sql, SITE, DAY_S, tester);
    },
  },
  'a purge': {
    kind: 'site.purge',
    async prepare(world) {
      const wish = wishNew();
      await world.run((sql, { rooms }) => startSiteCreate(rooms.parts.sites, sql, wish, tester));
      await bring(world, wish.name, 'archived');
      const site = (await readSite(world.store, wish.name))?.id ?? '';
      return (sql, { platform }) => platform.operations.start(sql, 'site.purge', { site, name: wish.name }, tester);
    },
  },
  // The last one: it leaves many sites, which would slow the others.
  'the creation of a site': {
    kind: 'site.create',
    async prepare(_world) {
      const wish = wishNew();
      return (sql, { rooms }) => startSiteCreate(rooms.parts.sites, sql, wish, tester);
    },
  },
});
