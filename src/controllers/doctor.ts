// What `espalier doctor` asks of the controllers: whether another would take over.
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import type { Store } from '../platform/store.ts';
import { type ControllerView, listControllerViews } from './views.ts';

/** Pure, so that every sentence is tested. */
export function judgeControllers(views: readonly ControllerView[]): CheckFinding {
  const leader = views.find(({ state }) => state === 'leading');
  const silent = views.filter(({ state }) => state === 'silent');
  const others = views.filter(({ state }) => state === 'standing by');
  if (silent.length > 0)
    return {
      status: 'warn',
      detail: silent.map(({ name, reason }) => `the controller on ${name} is silent: ${reason}`).join('; '),
      todo: 'Run `espalier up` there, or forget it with `espalier controller remove`.',
    };
  const versions = new Set(views.map(({ version }) => version));
  if (versions.size > 1)
    return {
      status: 'warn',
      detail: views.map(({ name, version }) => `${name} has ${version}`).join(', '),
      todo: 'Bring all checkouts to one version and run `espalier up` on each.',
    };
  if (others.length === 0) return { status: 'ok', detail: 'one controller; nobody would take over' };
  const names = others.map(({ name }) => name).join(', ');
  return { status: 'ok', detail: `the one on ${leader?.name ?? '?'} leads, on ${names} it would be taken over` };
}

export function makeControllerChecks(store: Store): DoctorCheck[] {
  return [{ name: 'controllers', run: async () => judgeControllers(await listControllerViews(store)) }];
}
