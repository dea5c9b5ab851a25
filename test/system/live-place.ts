// One real deployment for all live tests, brought up by the real command line: everything that a person gets. Takes one
// to three minutes when nothing stands, seconds when an earlier file of the same run has brought it up. Destroyed by
// whoever began: the runner (ESPALIER_TEST_RUN names its run) or the file that ran alone. ESPALIER_TEST_KEEP=1 keeps it,
// images and all, for the next run.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listRecipes, readBase, readLayer } from '../../src/apps/read-recipe.ts';
import { stopDaemon } from '../../src/cli/up/daemon.ts';
import { readHost } from '../../src/cli/up/host.ts';
import type { Fleet } from '../../src/engines/fleet.ts';
import { makeIncusFleet } from '../../src/engines/incus/fleet.ts';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { defaultDataDir, toFleetPlace } from '../../src/lib/deployment.ts';
import { readMigrations } from '../../src/platform/migrate.ts';
import { holdPlace } from './hold-place.ts';
import { type LiveApi, makeLiveApi } from './live-api.ts';

const NAME = 'esptest';
const PORT = 18_761;
const ROOT = join(import.meta.dirname, '../..');
const DATA_DIR = defaultDataDir(NAME);
/** Which run brought it up, from which sources. */
const STAMP = join(DATA_DIR, 'test-run.json');
/** Images are built within. */
const UP_MS = 900_000;
const COMMAND_MS = 300_000;

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface LivePlace {
  name: string;
  dataDir: string;
  httpPort: number;
  api: LiveApi;
  /** For looking into containers, and for breaking them. */
  fleet: Fleet;
  /** The real command line on this deployment. */
  espalier(argv: readonly string[], env?: Record<string, string>): Promise<CommandResult>;
  /** Ends what this file began; in an `after`. */
  leave(): Promise<void>;
}

const clock = makeSystemClock();
/** Whether it is to stay for the next run. */
export const keepsLivePlace = (): boolean => process.env.ESPALIER_TEST_KEEP === '1';

function runEspalier(argv: readonly string[], env: Record<string, string>, timeoutMs: number): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  // `up` hands ESPALIER_… on to the daemons: not what is the tests' own.
  const { ESPALIER_TEST_RUN: _run, ESPALIER_TEST_KEEP: _keep, ...outer } = process.env;
  const child = spawn(join(ROOT, 'espalier'), ['--deployment', NAME, ...argv], {
    env: { ...outer, NO_COLOR: '1', ESPALIER_APPS_DIR: join(ROOT, 'test/apps'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.timeout(timeoutMs),
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.once('error', reject);
  child.once('close', (code) => resolve({ code: code ?? 1, stdout, stderr }));
  return promise;
}

/** What a kept deployment must have been made from: recipes and tables. */
async function hashSources(): Promise<string> {
  const { recipes } = await listRecipes([join(ROOT, 'apps'), join(ROOT, 'services'), join(ROOT, 'test/apps')]);
  const [base, node] = [await readBase(join(ROOT, 'apps/base')), await readLayer(join(ROOT, 'apps/node'))];
  const migrations = (await readMigrations()).map(({ text }) => text);
  return createHash('sha256')
    .update([base.hash, node.hash, ...recipes.map((recipe) => recipe.hash).sort(), ...migrations].join())
    .digest('hex');
}

async function stopDaemons(): Promise<void> {
  const { systemd } = await readHost(DATA_DIR);
  const parts = { systemd, clock, signal: new AbortController().signal, say: () => undefined };
  for (const name of ['agent', 'controller'] as const) {
    await stopDaemon({ name, deployment: NAME, dataDir: DATA_DIR }, parts);
  }
}

/** Removes it as a person does; what was too broken for that by force. True when it went the person's way. */
async function destroyLivePlace(): Promise<boolean> {
  const destroyed = await runEspalier(['destroy', '--confirm', NAME], {}, COMMAND_MS);
  if (destroyed.code === 0) return true;
  await stopDaemons();
  const fleet = makeIncusFleet({ place: toFleetPlace(NAME) });
  await fleet.tearDown();
  await fleet.close();
  await rm(DATA_DIR, { recursive: true, force: true });
  return false;
}

/** Destroys it unless it is gone or to be kept: at the end of a run. */
export async function endLivePlace(): Promise<void> {
  if (keepsLivePlace() || !(await stat(DATA_DIR).catch(() => undefined))) return;
  await destroyLivePlace();
}

/** Brings it up, or takes the one that this run has brought up already. */
export async function openLivePlace(): Promise<LivePlace> {
  await holdPlace(NAME);
  const run = process.env.ESPALIER_TEST_RUN ?? `alone-${process.pid}`;
  const sources = await hashSources();
  const stamp = await readFile(STAMP, 'utf8')
    .then((text) => JSON.parse(text) as { run: string; sources: string })
    .catch(() => undefined);
  const mayStay = stamp?.sources === sources && (stamp.run === run || keepsLivePlace());
  if (!mayStay) await destroyLivePlace();
  // Kept from an earlier run: today's code, not that of the daemons that still run.
  else if (stamp.run !== run) await stopDaemons();
  const up = await runEspalier(['up', '--http-port', String(PORT)], {}, UP_MS);
  assert.equal(up.code, 0, `up failed:\n${up.stderr.slice(-6_000)}`);
  await writeFile(STAMP, JSON.stringify({ run, sources }));
  const fleet = makeIncusFleet({ place: toFleetPlace(NAME) });
  return {
    ...{ name: NAME, dataDir: DATA_DIR, httpPort: PORT, api: makeLiveApi(DATA_DIR, PORT), fleet },
    espalier: (argv, env = {}) => runEspalier(argv, env, COMMAND_MS),
    async leave() {
      await fleet.close();
      if (process.env.ESPALIER_TEST_RUN === undefined) await endLivePlace();
    },
  };
}
