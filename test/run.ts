// `npm test`: everything that must hold, in five stages: check, unit tests (with a PostgreSQL of their own), the
// simulation's seeds, system tests on the real engines, several servers in labs. `npm test -- unit` runs one stage. Ends with a table and `N passed, N failed`.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { makePlainDisplay } from '../src/cli/steps/displays.ts';
import { renderDuration } from '../src/cli/steps/step-tree.ts';
import { makeProcessTerminal } from '../src/cli/terminal.ts';
import { makeHostSteps } from '../src/cli/up/prepare-host.ts';
import { runSteps, StepFailed } from '../src/cli/up/run-steps.ts';
import { makeSystemClock } from '../src/lib/clock.ts';
import { endSharedLab } from './cluster/open-lab.ts';
import { startTestPostgres } from './postgres/start.ts';
import { isIncusRunning, quietIncus } from './quiet-incus.ts';
import { endLivePlace } from './system/live-place.ts';

const ROOT = resolve(import.meta.dirname, '..');
const BIN = join(ROOT, 'node_modules/.bin');
const clock = makeSystemClock();

/** What the system tests call beyond what Espalier itself needs: the browser. */
const TEST_PACKAGES = ['chromium'];
/** The aim is 30 minutes for all of it on two quiet cores; a busy machine gets more, and a stage that hangs is seen. */
const BOUNDS_MS = { check: 300_000, unit: 1_200_000, seeds: 900_000, system: 2_700_000, cluster: 2_700_000 };

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

interface Stage {
  name: keyof typeof BOUNDS_MS;
  title: string;
  run(signal: AbortSignal): Promise<Outcome>;
}

/** Runs a program with its output shown; resolves with its exit code, 124 after the bound. */
async function runShown(
  argv: readonly string[],
  signal: AbortSignal,
  env: Record<string, string> = {},
): Promise<number> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env }, signal });
  return await new Promise((done) => {
    child.once('error', () => done(124));
    child.once('close', (code) => done(signal.aborted ? 124 : (code ?? 1)));
  });
}

/** Runs one check of the first stage: it passes when its exit code is 0. */
async function runCheck(name: string, argv: readonly string[], signal: AbortSignal): Promise<Outcome> {
  const startedMs = clock.monotonicMs();
  const code = await runShown(argv, signal);
  const verdict = code === 0 ? 'ok' : `failed with exit code ${code}`;
  process.stdout.write(`  ${name}: ${verdict} (${renderDuration(clock.monotonicMs() - startedMs)})\n`);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** Proves that the linter sees a floating promise: a planted one must be reported, and nothing beside it. */
async function runPlantedFault(signal: AbortSignal): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-planted-'));
  try {
    const work = 'async function work(): Promise<void> {}\n';
    await writeFile(join(dir, 'tsconfig.json'), '{"compilerOptions":{"strict":true,"target":"es2024"}}');
    await writeFile(join(dir, 'planted.ts'), `${work}work();\n`);
    await writeFile(join(dir, 'sound.ts'), `${work}await work();\nexport {};\n`);
    // The linter looks for its type-aware half from here on upwards.
    await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
    const lint = async (file: string): Promise<string> => {
      const argv = [
        join(BIN, 'oxlint'),
        '--config',
        join(ROOT, '.oxlintrc.json'),
        '--type-aware',
        '--format',
        'json',
        file,
      ];
      const child = spawn(argv[0] ?? '', argv.slice(1), { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'], signal });
      let text = '';
      for await (const chunk of child.stdout.setEncoding('utf8')) text += String(chunk);
      return text;
    };
    const seen = (await lint('planted.ts')).includes('no-floating-promises');
    const quiet = !(await lint('sound.ts')).includes('no-floating-promises');
    process.stdout.write(
      `  a planted floating promise is ${seen ? 'seen' : 'NOT seen'}, a sound one ${quiet ? 'not' : 'IS'} reported\n`,
    );
    return { passed: seen && quiet ? 1 : 0, failed: seen && quiet ? 0 : 1, skipped: 0 };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Counts from node's TAP reporter, test by test, so that a run which was cut off counts as far as it came. */
export function parseTap(tap: string): Outcome {
  const tests = [...tap.matchAll(/^ *(not ok|ok) \d+ - (.*)\n *---\n *duration_ms: .*\n *type: 'test'$/gm)];
  const skipped = tests.filter(([, , name = '']) => /# (SKIP|TODO)/.test(name)).length;
  const failed = tests.filter(([, verdict, name = '']) => verdict === 'not ok' && !/# (SKIP|TODO)/.test(name)).length;
  return { passed: tests.length - skipped - failed, failed, skipped };
}

/** Runs node's test runner on files, shown, and reads its counts. */
async function runNodeTests(
  args: readonly string[],
  signal: AbortSignal,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-tests-'));
  const tapPath = join(dir, 'tap');
  try {
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
    const counting = ['--test-reporter=tap', `--test-reporter-destination=${tapPath}`];
    const code = await runShown([process.execPath, '--test', ...reporters, ...counting, ...args], signal, env);
    const outcome = parseTap(await readFile(tapPath, 'utf8').catch(() => ''));
    // A run without a single test is no success, and neither is one that was cut off between two tests.
    const broken = outcome.failed === 0 && (code !== 0 || outcome.passed === 0);
    return broken || signal.aborted ? { ...outcome, failed: outcome.failed + 1 } : outcome;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const add = (a: Outcome, b: Outcome): Outcome => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});
const NONE: Outcome = { passed: 0, failed: 0, skipped: 0 };

/** Runs files on the real Incus, one after the other: they measure, and they share two cores with the engines that they test. */
async function runOnIncus(files: readonly string[], signal: AbortSignal, end: () => Promise<void>): Promise<Outcome> {
  const display = makePlainDisplay(makeProcessTerminal(), clock);
  const host = { dataDir: '/var/lib/espalier', env: process.env, clock, morePackages: TEST_PACKAGES };
  const wasRunning = await isIncusRunning();
  await runSteps(makeHostSteps(host), { display, clock, signal }).finally(() => display.close());
  const env = { ESPALIER_TEST_RUN: `npm-test-${process.pid}-${clock.nowMs()}` };
  try {
    const bounds = ['--test-concurrency=1', '--test-force-exit', '--test-timeout=1800000'];
    return await runNodeTests([...bounds, ...files], signal, env);
  } finally {
    await end();
    if (!wasRunning) await quietIncus();
  }
}

const stages: Stage[] = [
  {
    name: 'check',
    title: 'Types, format, lint',
    async run(signal) {
      const checks: [name: string, argv: string[]][] = [
        ['tsc', [join(BIN, 'tsc'), '-p', '.']],
        ['biome', [join(BIN, 'biome'), 'check', '--error-on-warnings', '.']],
        ['oxlint', [join(BIN, 'oxlint'), '--type-aware', '--deny-warnings']],
      ];
      let sum = NONE;
      for (const [name, argv] of checks) sum = add(sum, await runCheck(name, argv, signal));
      return add(sum, await runPlantedFault(signal));
    },
  },
  {
    name: 'unit',
    title: 'Unit tests, every store test on PGlite and PostgreSQL',
    async run(signal) {
      const postgres = await startTestPostgres();
      try {
        const env = { ESPALIER_TEST_POSTGRES: postgres.url };
        return await runNodeTests(
          ['--test-force-exit', '--test-timeout=120000', 'src/**/*.test.ts', 'test/*.test.ts', 'test/faults/*.test.ts'],
          signal,
          env,
        );
      } finally {
        await postgres.stop();
      }
    },
  },
  {
    name: 'seeds',
    title: 'The sequencer simulated, by seed',
    // Alone, since it takes every core.
    run: (signal) => runNodeTests(['--test-timeout=600000', 'test/simulation/*.test.ts'], signal),
  },
  {
    name: 'system',
    title: 'System tests on Incus, HAProxy, MariaDB, Valkey',
    // The files that need a whole deployment share one: the last of them destroys it, or we do.
    run: (signal) => runOnIncus(['test/system/*.test.ts'], signal, endLivePlace),
  },
  {
    name: 'cluster',
    title: 'Several servers in labs: joining, emptying, losing, taking over',
    async run(signal) {
      await endSharedLab();
      return await runOnIncus(['test/cluster/*.test.ts'], signal, endSharedLab);
    },
  },
];

async function runStage(stage: Stage, interrupt: AbortSignal): Promise<Outcome> {
  try {
    return await stage.run(AbortSignal.any([interrupt, AbortSignal.timeout(BOUNDS_MS[stage.name])]));
  } catch (thrown) {
    if (thrown instanceof StepFailed) for (const line of thrown.lines) process.stdout.write(`    | ${line}\n`);
    const cause = thrown instanceof StepFailed ? thrown.cause : thrown;
    process.stdout.write(
      `  ${thrown instanceof Error ? thrown.message : String(thrown)}: ${cause instanceof Error ? cause.message : String(cause)}\n`,
    );
    return { ...NONE, failed: 1 };
  }
}

if (import.meta.main) {
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  process.once('SIGTERM', () => interrupt.abort());
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !stages.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    process.stderr.write(
      `There is no stage ${unknown.join(', ')}; there are ${stages.map(({ name }) => name).join(', ')}.\n`,
    );
    process.exit(2);
  }
  let sum = NONE;
  const table: string[] = [];
  for (const stage of stages) {
    if (interrupt.signal.aborted || (asked.length > 0 && !asked.includes(stage.name))) continue;
    process.stdout.write(`\n── ${stage.title} ──\n`);
    const startedMs = clock.monotonicMs();
    const outcome = await runStage(stage, interrupt.signal);
    const duration = renderDuration(clock.monotonicMs() - startedMs);
    const { passed, failed, skipped } = outcome;
    table.push(
      `${stage.name.padEnd(8)}${duration.padStart(12)}${String(passed).padStart(9)}${String(failed).padStart(9)}${String(skipped).padStart(9)}`,
    );
    process.stdout.write(`── ${stage.name}: ${duration} ──\n`);
    sum = add(sum, outcome);
  }
  process.stdout.write(`\nstage       duration   passed   failed  skipped\n${table.join('\n')}\n`);
  if (interrupt.signal.aborted) sum = { ...sum, failed: sum.failed + 1 };
  process.stdout.write(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
  // Said outright: a timer that somebody forgot must not keep a run that is over.
  process.exit(sum.failed === 0 ? 0 : 1);
}
