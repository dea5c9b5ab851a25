// What `espalier doctor` says of tasks: which need attention, which are overdue, whether intervals are stretched, and whether
// anybody is told.
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import type { Store } from '../platform/store.ts';
import { type AlertChannel, listAlerts } from './alerts.ts';
import { readFleetState } from './fleet-state.ts';
import { readCounts } from './run-store.ts';

/** So many are named. */
const NAMED = 5;
/** A way that has not told an alert by now does not work. */
const UNTOLD_AFTER_MS = 120_000;

function nameSome(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return `${names.slice(0, NAMED).join(', ')}${more}`;
}

/** Makes the checks. */
export function makeTaskChecks(store: Store, channels: readonly AlertChannel[]): DoctorCheck[] {
  const listOpen = () => listAlerts(store, { before: null, limit: 500, open: true });
  return [
    {
      name: 'tasks',
      async run(): Promise<CheckFinding> {
        const open = await listOpen();
        const of = (kind: string) => open.filter(({ cause }) => cause.startsWith(kind)).map(({ subject }) => subject);
        const [overdue, attention] = [of('overdue:'), of('task:')];
        const { level, reason } = await readFleetState(store);
        const stretched = level > 0 ? [`intervals are stretched: ${reason}`] : [];
        const failing = attention.length > 0 ? [`${attention.length} need attention: ${nameSome(attention)}`] : [];
        if (overdue.length > 0)
          return {
            status: 'fail',
            detail: [`${overdue.length} overdue: ${nameSome(overdue)}`, ...failing, ...stretched].join('; '),
            todo: `Ask what it waits for: \`espalier why task ${overdue[0]}\`.`,
          };
        if (failing.length > 0)
          return {
            status: 'warn',
            detail: [...failing, ...stretched].join('; '),
            todo: `See how it ended with \`espalier task history ${attention[0]}\` and \`task logs\`; \`task resume\` takes it off the list.`,
          };
        if (stretched.length > 0)
          return {
            status: 'warn',
            detail: stretched.join(),
            todo: 'It relaxes by itself; add a server if it stays so.',
          };
        const { queued, leased, running } = await readCounts(store);
        return {
          status: 'ok',
          detail: `none needs attention, none is overdue; ${queued} wait, ${leased + running} run`,
        };
      },
    },
    {
      name: 'alerts',
      async run(): Promise<CheckFinding> {
        const open = await listOpen();
        const late = open.filter(({ raisedAt }) => Date.now() - Date.parse(raisedAt) > UNTOLD_AFTER_MS);
        const broken = channels.filter(({ name }) => late.some(({ toldBy }) => !toldBy.includes(name)));
        const names = channels.map(({ name }) => name);
        if (channels.length === 0) {
          const todo =
            'Set ESPALIER_ALERT_WEBHOOK, or ESPALIER_ALERT_MAIL and ESPALIER_SMTP_URL, and run `espalier up`.';
          const detail = 'people are told nowhere but here';
          return open.length === 0 ? { status: 'ok', detail } : { status: 'warn', detail, todo };
        }
        if (broken.length > 0)
          return {
            status: 'warn',
            detail: `people cannot be told by ${broken.map(({ name }) => name).join(' and ')}`,
            todo: "The controller's log says why; it is tried again every minute.",
          };
        return { status: 'ok', detail: `people are told by ${names.join(' and ')}; ${open.length} open` };
      },
    },
  ];
}
