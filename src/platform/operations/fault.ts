// Faults on demand, for tests that kill the real controller in the middle of a step: ESPALIER_FAULT=KIND/STEP/WHEN:ACT.
// Apart from the driver, which only calls a function.
import { commonProblems } from '../../lib/errors.ts';
import type { FaultPoint } from './run-operation.ts';

const FORM = /^([a-z.-]+)\/([^/]+)\/((?:before|after)-(?:do|undo)):(kill|fail)$/;

/**
 * `site.create/make-database/after-do:kill` ends the process there by `kill`; `:fail` fails the step there, once. `*`
 * stands for any step. Throws `common.invalid-input`.
 */
export function parseFault(text: string, kill: () => void): (point: FaultPoint) => void {
  const [, kind, step, when, act] = FORM.exec(text) ?? [];
  if (kind === undefined) {
    const why = `"${text}" is not KIND/STEP/before-do|after-do|before-undo|after-undo:kill|fail`;
    throw commonProblems.make('invalid-input', { where: 'ESPALIER_FAULT', why });
  }
  let done = false;
  return (point) => {
    if (done || point.kind !== kind || point.when !== when || (step !== '*' && point.step !== step)) return;
    done = true;
    if (act === 'kill') kill();
    else throw new Error(`ESPALIER_FAULT: ${text}`);
  };
}
