// The live deployment's API and sites as the tests use them. Apart from bringing the deployment up, so that a test can
// ask a controller that it has just started, or that has just died.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { FindingDocument, OperationDocument, PageDocument } from '../../src/cli/documents.ts';
import type { ProblemDocument } from '../../src/lib/errors.ts';
import { type Received, type Sent, send, until } from './live-http.ts';

export interface Answer<T> {
  status: number;
  headers: Received['headers'];
  body: T;
}

export interface SiteDocumentView {
  id: string;
  name: string;
  state: string;
  url: string;
  hosts: string[];
  pool: string;
}

export interface NodeView {
  name: string;
  pool: string;
  address: string;
  imageNumber: number;
  state: string;
  reason: string;
}

const OPERATION_MS = 300_000;
const ENDED: readonly string[] = ['succeeded', 'recovered', 'failed', 'cancelled', 'fatal'];

export type LiveApi = ReturnType<typeof makeLiveApi>;

/** `httpPort`: where the edge listens on this machine. */
export function makeLiveApi(dataDir: string, httpPort: number) {
  const socketPath = join(dataDir, 'controller.sock');

  async function ask<T>(
    method: string,
    path: string,
    given?: { body?: unknown; headers?: Record<string, string> },
  ): Promise<Answer<T>> {
    const { body, headers } = given ?? {};
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const text = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
    const answer = await send({ socketPath }, { method, path, headers: { ...json, ...headers }, ...text });
    const parsed = answer.body.length === 0 ? null : (JSON.parse(answer.body.toString()) as unknown);
    return { status: answer.status, headers: answer.headers, body: parsed as T };
  }

  async function read<T>(path: string): Promise<T> {
    const { status, body } = await ask<T>('GET', path);
    assert.equal(status, 200, `GET ${path}: ${JSON.stringify(body)}`);
    return body;
  }

  /** Begins an operation; gives its id. */
  async function begin(method: string, path: string, body?: unknown): Promise<string> {
    const answer = await ask<{ operation: { id: string } }>(method, path, body === undefined ? {} : { body });
    assert.equal(answer.status, 202, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body.operation.id;
  }

  /** Waits for an operation's end, also through a controller's death. */
  async function ended(id: string, timeoutMs = OPERATION_MS): Promise<OperationDocument> {
    let last: OperationDocument | undefined;
    return await until(
      `the end of the operation ${id}`,
      timeoutMs,
      async () => {
        last = await read<OperationDocument>(`/v1/operations/${id}`).catch(() => undefined);
        return last !== undefined && ENDED.includes(last.state) ? last : undefined;
      },
      () => renderOperation(last),
    );
  }

  return {
    ask,
    read,
    begin,
    ended,
    /** Runs an operation to its end, which must be good. */
    async succeed(method: string, path: string, body?: unknown): Promise<OperationDocument> {
      const operation = await ended(await begin(method, path, body));
      assert.equal(operation.state, 'succeeded', renderOperation(operation));
      return operation;
    },
    /** The newest operation of a kind. */
    async readNewest(kind: string): Promise<OperationDocument> {
      const { items } = await read<PageDocument<OperationDocument>>(`/v1/operations?filter=kind%3D${kind}&pageSize=1`);
      assert.ok(items[0] !== undefined, `there is an operation ${kind}`);
      return items[0];
    },
    readSite: (name: string) => read<SiteDocumentView>(`/v1/sites/${name}`),
    /** Deletes a site without grace time and waits until its name is free again. */
    async removeSite(name: string): Promise<void> {
      const { id } = await read<SiteDocumentView>(`/v1/sites/${name}`);
      const deleted = await ended(await begin('DELETE', `/v1/sites/${name}?graceS=0`));
      assert.equal(deleted.state, 'succeeded', renderOperation(deleted));
      await until(`the purge of ${name}`, OPERATION_MS, async () =>
        (await ask('GET', `/v1/sites/${id}`)).status === 404 ? true : undefined,
      );
    },
    /** The nodes of a pool that serve. */
    async readNodes(pool: string): Promise<NodeView[]> {
      const { items } = await read<PageDocument<NodeView>>(`/v1/nodes?pool=${pool}`);
      return items.filter((node) => node.state === 'ready');
    },
    readLogin: (site: string) => read<{ url: string; user: string; password: string }>(`/v1/sites/${site}/first-login`),
    /** A page of a site: through the edge, or on one node when its address is given. */
    visit(hostName: string, path: string, given: Partial<Sent> & { address?: string } = {}): Promise<Received> {
      const { address, headers, ...sent } = given;
      const where = address === undefined ? { host: '127.0.0.1', port: httpPort } : { host: address, port: 80 };
      return send(where, { path, ...sent, headers: { host: `${hostName}:${httpPort}`, ...headers } });
    },
    /** Fails unless what exists in Incus, MariaDB and Valkey equals what the store says and nothing waits for a person. */
    async assertInOrder(timeoutMs = 60_000): Promise<void> {
      let last: FindingDocument[] = [];
      await until(
        'a doctor without findings about orphans and operations',
        timeoutMs,
        async () => {
          const { checks } = await read<{ checks: FindingDocument[] }>('/v1/doctor');
          last = checks.filter(({ name }) => name === 'orphans' || name === 'operations');
          const [operations, orphans] = ['operations', 'orphans'].map((name) => last.find((one) => one.name === name));
          const equal = orphans?.detail === 'what exists equals what the store says';
          return equal && operations?.status === 'ok' ? true : undefined;
        },
        () => JSON.stringify(last),
      );
    },
  };
}

/** For messages of failed assertions: state, problem, steps. */
export function renderOperation(operation: OperationDocument | undefined): string {
  if (operation === undefined) return 'no operation';
  const steps = operation.steps.map(
    ({ name, state, problem }) => `${name} ${state}${problem ? `: ${problem.detail}` : ''}`,
  );
  const waiting = operation.waiting === null ? '' : `, waiting: ${operation.waiting.problem.detail}`;
  const failed = operation.problem === null ? '' : `, ${operation.problem.code}: ${operation.problem.detail}`;
  return `${operation.title} is ${operation.state}${waiting}${failed}\n  ${steps.join('\n  ')}`;
}

/** Fails unless the answer is this problem. */
export function assertProblem(answer: Answer<unknown>, status: number, code: string): ProblemDocument {
  const problem = answer.body as ProblemDocument;
  assert.equal(`${answer.status} ${problem.code}`, `${status} ${code}`, JSON.stringify(problem));
  assert.ok(problem.todo.length > 0, `${code} says what to do`);
  return problem;
}
