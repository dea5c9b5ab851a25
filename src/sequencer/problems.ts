// What can go wrong with tasks and runs. Apart as each room's catalogue is.
import { makeCatalogue } from '../lib/errors.ts';

export const taskProblems = makeCatalogue('task', {
  'bad-cron': {
    status: 400,
    title: 'The schedule is not valid cron',
    detail: (a: { cron: string; why: string }) => `"${a.cron}" is no schedule: ${a.why}.`,
    todo: () => 'Give five fields (minute, hour, day, month, weekday), for example "30 3 * * *", or `--every 5m`.',
  },
  'never-due': {
    status: 400,
    title: 'The schedule is never due',
    detail: (a: { cron: string }) => `"${a.cron}" has no time at all to come.`,
    todo: () => 'Choose a day that exists in the month.',
  },
  'unknown-zone': {
    status: 400,
    title: 'There is no such time zone',
    detail: (a: { zone: string }) => `"${a.zone}" is no time zone.`,
    todo: () => 'Give a name of the time zone database, such as Europe/Vienna, or UTC.',
  },
  'bad-interval': {
    status: 400,
    title: 'The interval is not valid',
    detail: (a: { every: string }) => `"${a.every}" is no interval from 1 s to 366 days.`,
    todo: () => 'Give a whole number with s, m, h or d, for example 5m.',
  },
  taken: {
    status: 409,
    title: 'The site has such a task already',
    detail: (a: { site: string; name: string }) => `The site ${a.site} has a task named ${a.name}.`,
    todo: (a) => `Choose another name, or look at it with \`espalier task show ${a.site}/${a.name}\`.`,
  },
  'site-closed': {
    status: 409,
    title: 'The site is not open',
    detail: (a: { site: string; state: string }) => `The site ${a.site} is ${a.state}; its tasks do not run.`,
    todo: (a) => `Resume it first: \`espalier site resume ${a.site}\`.`,
  },
  pending: {
    status: 409,
    title: 'A run of the task waits already',
    detail: (a: { task: string; run: number; why: string }) => `The run ${a.run} of ${a.task} waits already: ${a.why}.`,
    todo: (a) => `Ask \`espalier why run ${a.run}\`, or cancel it with \`espalier task cancel ${a.task}\`.`,
  },
  'of-recipe': {
    status: 409,
    title: "The task belongs to the site's app",
    detail: (a: { task: string }) => `${a.task} comes from the app's recipe and stays as long as the site.`,
    todo: (a) => `Pause it: \`espalier task pause ${a.task}\`.`,
  },
  'still-running': {
    status: 409,
    title: 'A run of the site has not ended',
    detail: (a: { task: string; run: number; state: string }) =>
      `The run ${a.run} of the task ${a.task} is still ${a.state}.`,
    todo: (a) => `Wait for it, or end it (\`espalier task cancel\`, run ${a.run}); then try again.`,
  },
  'still-starting': {
    status: 503,
    title: 'A run could not be stopped in time',
    detail: (a: { task: string; run: number; server: string }) =>
      `The run ${a.run} of ${a.task} is at ${a.server}, which did not say in time that it has ended.`,
    todo: () =>
      'Nothing new starts. Ask again in some seconds: without an answer its lease ends, and it is killed there.',
    retryable: true,
  },
  'no-run': {
    status: 404,
    title: 'There is no such run',
    detail: (a: { run: string }) => `There is no run ${a.run}, or its history is no longer kept.`,
    todo: () => 'List runs with `espalier task history TASK`.',
  },
  'no-output': {
    status: 409,
    title: 'There is no output to follow',
    detail: (a: { run: number; state: string }) => `The run ${a.run} is ${a.state}.`,
    todo: () => 'Wait until it runs; of ended runs the end of the output is kept: `espalier task logs`.',
  },
});
