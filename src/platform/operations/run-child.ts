// Runs one operation as part of another's step: begins it, or joins the one that is under way already, and waits. Apart
// from the driver, which knows nothing of families; a child is told by who asked for it: `operation:ID`.
import { commonProblems, Problem } from '../../lib/errors.ts';
import type { Sql, Store } from '../store.ts';
import { UNDER_WAY } from './list-all.ts';
import type { Operation, Operations, OperationView, StepContext } from './operation.ts';

/** What asked for a child, from the step that runs it. */
export const askerOf = (ctx: StepContext): { by: string } => ({ by: `operation:${ctx.operationId}` });

/**
 * Runs a child to its end. `lock`: one that such an operation takes; when one of the same kind holds it, that one is
 * joined, so that a step which runs twice does not begin twice. Throws the child's own problem when it did not succeed.
 */
export async function runChild(
  parts: { store: Store; operations: Operations },
  child: { kind: string; lock: string; begin: (sql: Sql) => Promise<Operation> },
  signal: AbortSignal,
): Promise<OperationView> {
  const { store, operations } = parts;
  const findUnderWay = async () =>
    (await operations.list({ lock: child.lock, kind: child.kind, states: UNDER_WAY })).items[0]?.id;
  const begin = async () => {
    try {
      return (await store.transaction(child.begin)).id;
    } catch (thrown) {
      // Another began it between our look and our beginning.
      const other = thrown instanceof Problem && thrown.code === 'operations.locked' ? await findUnderWay() : undefined;
      if (other === undefined) throw thrown;
      return other;
    }
  };
  const id = (await findUnderWay()) ?? (await begin());
  const ended = await operations.wait(id, signal);
  if (ended.state === 'succeeded') return ended;
  if (ended.problem !== null) throw new Problem({ ...ended.problem, retryable: false });
  throw commonProblems.make('internal', { what: `The operation ${ended.title} (${id}) ended as ${ended.state}` });
}
