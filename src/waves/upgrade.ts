// The two operations of a site in a wave: to the new image, and back to what it was.
import { z } from 'zod';
import { makeOperation, type OperationKind } from '../platform/operations/operation.ts';
import { siteLock } from '../sites/parts.ts';
import type { WaveParts } from './parts.ts';
import { makeUpgradeSteps, type UpgradeParams, upgradeSchema } from './upgrade-steps.ts';

const returnSchema = upgradeSchema.extend({ snapshot: z.int() });
export type ReturnParams = z.infer<typeof returnSchema>;

/** The operation `site.upgrade`. */
export function makeSiteUpgrade(parts: WaveParts): OperationKind<UpgradeParams> {
  return makeOperation<UpgradeParams>({
    kind: 'site.upgrade',
    params: upgradeSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, image }) => `Upgrade the site ${name} to ${image}`,
    steps: (params) => {
      const steps = makeUpgradeSteps(parts, params, { begun: 'upgrading', good: 'upgraded', bad: 'failed' });
      if (params.closed) return [steps.mark, steps.follow];
      const [snapshot, change] = [steps.snapshot(`before the wave to ${params.image}`), steps.change];
      return [
        ...[steps.mark, steps.before, steps.tasks, steps.close, snapshot],
        { name: 'switch', ...change({ from: params.from, to: params.to }) },
        ...[steps.upgrade, steps.check, steps.serve, steps.tell],
      ];
    },
  });
}

/** The operation `site.return`: an upgraded site becomes what its snapshot says; what it is now is kept as a snapshot as well. */
export function makeSiteReturn(parts: WaveParts): OperationKind<ReturnParams> {
  return makeOperation<ReturnParams>({
    kind: 'site.return',
    params: returnSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, image }) => `Bring the site ${name} back to ${image}`,
    steps: (params) => {
      const steps = makeUpgradeSteps(parts, params, { begun: 'returning', good: 'returned', bad: 'stuck' });
      if (params.closed) return [steps.mark, steps.follow];
      const change = steps.change({ from: params.from, to: params.to, restore: params.snapshot });
      const snapshot = steps.snapshot(`before it was brought back to ${params.image}`);
      return [
        ...[steps.mark, steps.tasks, steps.close, snapshot, { name: 'switch', ...change }],
        ...[steps.check, steps.serve, steps.tell],
      ];
    },
  });
}
