// Every noun that can be listed: its address in the API and its columns. Apart from the verbs, because list, show
// and completion are the same for all.
import type { OperationSummary } from './documents.ts';
import { type Column, renderAge, toCell } from './output.ts';

export type Row = Record<string, unknown>;

export interface Noun {
  noun: string;
  summary: string;
  /** Of the list; one is at `path/NAME`. */
  path: string;
  /** The field that names a row: what `show` takes and completion offers. */
  key: string;
  columns(nowMs: number): Column<Row>[];
  /** Fields that its list can be filtered by. */
  filters?: readonly string[];
  /** Further query parameters of its list, with a word on each: options of `list`. */
  queries?: Readonly<Record<string, string>>;
  /** Kinds of rows that `list` shows only with `--all`, or when `--kind` asks for them. */
  detailKinds?: readonly string[];
  /** True for nouns whose `show` is a verb of its own. */
  showsItself?: boolean;
  /** True for nouns that can only be listed. */
  listOnly?: boolean;
}

const field = (title: string, name = title): Column<Row> => ({ title, cell: (row) => toCell(row[name]) });
const age = (nowMs: number, name = 'createdAt'): Column<Row> => ({
  title: 'age',
  cell: (row) => renderAge(row[name] as string | null, nowMs),
});
/** A time to the second. */
const time = (title: string, name = title): Column<Row> => ({
  title,
  cell: (row) => toCell(row[name]).replace(/\.\d+Z$/, 'Z'),
});
/** What an operation waits for, or why it failed. */
const about: Column<Row> = {
  title: 'about',
  cell: (row) => {
    const { waiting, problem } = row as unknown as OperationSummary;
    return waiting === null ? (problem?.detail ?? '') : `waiting: ${waiting.problem.detail}`;
  },
};

/** Runs in a list: of all tasks, or the history of one. */
export const runColumns = (nowMs: number): Column<Row>[] => [
  ...[field('id'), field('task'), field('state'), time('due', 'dueAt'), field('attempt'), field('node')],
  { title: 'took', cell: ({ startedAt, endedAt }) => renderTook(startedAt, endedAt ?? nowMs) },
  field('reason'),
];

function renderTook(from: unknown, to: unknown): string {
  if (typeof from !== 'string' || (typeof to !== 'string' && typeof to !== 'number')) return '';
  return `${((new Date(to).getTime() - new Date(from).getTime()) / 1000).toFixed(1)}s`;
}

export const nouns: readonly Noun[] = [
  {
    noun: 'site',
    summary: "Sites: customers' installations",
    path: '/v1/sites',
    key: 'name',
    filters: ['name', 'app', 'pool', 'state'],
    columns: (nowMs) => [field('name'), field('state'), field('app'), field('pool'), field('hosts'), age(nowMs)],
  },
  {
    noun: 'pool',
    summary: 'Pools: identical nodes made from one image',
    path: '/v1/pools',
    key: 'name',
    columns: (nowMs) => [
      ...[field('name'), field('state'), field('app'), field('role'), field('for', 'dedicatedTo')],
      ...[field('image', 'imageNumber'), field('beside', 'otherImage'), field('wanted'), field('ready')],
      ...[field('sites'), age(nowMs)],
    ],
  },
  {
    noun: 'roll',
    summary: 'Rolls: pools brought from one image to another',
    path: '/v1/rolls',
    key: 'id',
    queries: { pool: 'of this pool' },
    columns: (nowMs) => [
      ...[field('id'), field('pool'), field('state'), field('from', 'fromImage'), field('to', 'toImage')],
      ...[field('strategy'), age(nowMs, 'startedAt'), field('paused by', 'pausedBy'), field('reason')],
    ],
  },
  {
    noun: 'wave',
    summary: 'Waves: the sites of a pool brought to another image with their databases',
    path: '/v1/waves',
    key: 'id',
    queries: { pool: 'of this pool' },
    showsItself: true,
    columns: (nowMs) => [
      ...[field('id'), field('pool'), field('state'), field('from', 'fromImage'), field('to', 'toImage')],
      ...[field('sites'), field('upgraded'), field('failed'), age(nowMs, 'startedAt'), field('reason')],
    ],
  },
  {
    noun: 'node',
    summary: 'Nodes: the containers of a pool',
    path: '/v1/nodes',
    key: 'name',
    queries: { pool: 'of this pool' },
    columns: (nowMs) => [
      ...[field('name'), field('state'), field('pool'), field('server'), field('address')],
      ...[field('image', 'imageNumber'), age(nowMs), field('reason')],
    ],
  },
  {
    noun: 'image',
    summary: 'Images: numbered bakes of an app',
    path: '/v1/images',
    key: 'name',
    columns: (nowMs) => [
      ...[field('name'), field('version', 'appVersion'), field('parent'), age(nowMs), field('used by', 'usedBy')],
      ...[field('seed'), field('kept', 'keptBecause')],
    ],
  },
  {
    noun: 'seed',
    summary: 'Seeds: containers in which people prepare images',
    path: '/v1/seeds',
    key: 'name',
    columns: (nowMs) => [field('name'), field('state'), field('image'), field('by', 'createdBy'), age(nowMs)],
  },
  {
    noun: 'app',
    summary: 'Apps: recipes for web applications',
    path: '/v1/apps',
    key: 'name',
    columns: () => [field('name'), field('title'), field('status'), field('base'), field('version', 'appVersion')],
  },
  {
    noun: 'server',
    summary: 'Servers: the machines',
    path: '/v1/servers',
    key: 'name',
    columns: () => [
      ...[field('name'), field('state'), field('address'), field('domain'), field('version'), field('reason')],
    ],
  },
  {
    noun: 'controller',
    summary: 'Controllers: the one that leads, and those that stand by',
    path: '/v1/controllers',
    key: 'name',
    columns: () => [field('name'), field('state'), field('address'), field('version'), field('reason')],
  },
  {
    noun: 'database',
    summary: 'Database servers',
    path: '/v1/databases',
    key: 'name',
    columns: () => [field('name'), field('state'), field('server'), field('address'), field('sites')],
  },
  {
    noun: 'cache',
    summary: 'Cache servers',
    path: '/v1/caches',
    key: 'name',
    columns: () => [field('name'), field('state'), field('server'), field('address'), field('sites')],
  },
  {
    noun: 'edge',
    summary: 'Edges: the HAProxy containers in front of everything',
    path: '/v1/edges',
    key: 'name',
    columns: () => [
      ...[field('name'), field('state'), field('server'), field('address'), field('listen')],
      ...[field('holds'), field('reason')],
    ],
  },
  {
    noun: 'task',
    summary: "Tasks: sites' scheduled commands",
    path: '/v1/tasks',
    key: 'name',
    filters: ['site', 'name', 'class', 'attention', 'paused'],
    columns: () => [
      ...[field('name'), field('state'), field('schedule'), field('class'), time('next', 'nextAt')],
      { title: 'attention', cell: (row) => toCell((row.attention as { sentence: string } | null)?.sentence) },
    ],
  },
  {
    noun: 'run',
    summary: 'Runs of tasks that wait or live; of ended ones see `task history`',
    path: '/v1/runs',
    key: 'id',
    columns: (nowMs) => [...runColumns(nowMs)],
  },
  {
    noun: 'alert',
    summary: 'Alerts: what people should know, told once for each cause',
    path: '/v1/alerts',
    key: 'id',
    queries: { open: 'true: those that are not over' },
    listOnly: true,
    columns: (nowMs) => [
      ...[field('id'), age(nowMs, 'raisedAt'), field('sentence')],
      ...[field('told by', 'toldBy'), time('over', 'overAt')],
    ],
  },
  {
    noun: 'share',
    summary: "Shares: how many runs a site's tasks may have at once, and their weight",
    path: '/v1/shares',
    key: 'site',
    columns: () => [field('site'), field('runs', 'mostRuns'), field('weight'), field('open'), field('waiting')],
  },
  {
    noun: 'operation',
    summary: 'Operations: actions of several steps',
    path: '/v1/operations',
    key: 'id',
    filters: ['state', 'kind', 'lock'],
    columns: (nowMs) => [field('id'), field('state'), field('title'), field('by'), age(nowMs), about],
  },
  {
    noun: 'event',
    summary: 'Events: what happened, to what, by whom and why',
    path: '/v1/events',
    key: 'id',
    listOnly: true,
    queries: { kind: 'exact, or all of a noun: site.*', subject: 'exact: site:ID' },
    detailKinds: ['operation.step', 'operation.changed', 'operation.said'],
    columns: () => [field('at'), field('kind'), field('subject'), field('by'), field('reason')],
  },
  {
    noun: 'token',
    summary: 'Tokens for people and programs elsewhere',
    path: '/v1/tokens',
    key: 'id',
    listOnly: true,
    columns: (nowMs) => [
      ...[field('id'), field('name'), field('scopes'), age(nowMs)],
      ...[field('expires', 'expiresAt'), field('used', 'lastUsedAt'), field('revoked', 'revokedAt')],
    ],
  },
  {
    noun: 'loop',
    summary: 'Loops: what the controller looks after by itself',
    path: '/v1/loops',
    key: 'name',
    listOnly: true,
    columns: () => [field('name'), field('state'), field('runs'), field('failures'), field('acts when', 'wrongWhen')],
  },
];
