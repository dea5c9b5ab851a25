// What is under way or was begun of late, however much that is: a page at a time. Apart from the table of operations, which
// only knows pages.
import type { Operation, OperationFilter, OperationState, Operations } from './operation.ts';

/** Begun and not ended. */
export const UNDER_WAY = ['pending', 'running', 'recovering'] as const satisfies readonly OperationState[];
/** What holds its locks: under way, or waiting for a person. */
export const HOLDING = [...UNDER_WAY, 'fatal'] as const satisfies readonly OperationState[];

const PAGE = 500;

type Filter = Omit<OperationFilter, 'limit' | 'pageToken'>;

/** All operations of the filter, newest first. For filters that time keeps small: what is under way or needs a person. */
export async function listAll(
  operations: Operations,
  filter: Filter & { states: readonly OperationState[] },
): Promise<Operation[]> {
  return await listSince(operations, filter, Number.NEGATIVE_INFINITY);
}

/** The filter's operations that were created at or after `sinceMs`, newest first. */
export async function listSince(operations: Operations, filter: Filter, sinceMs: number): Promise<Operation[]> {
  const found: Operation[] = [];
  let pageToken: string | undefined;
  for (;;) {
    const page = await operations.list({ ...filter, limit: PAGE, ...(pageToken === undefined ? {} : { pageToken }) });
    const recent = page.items.filter(({ createdAt }) => Date.parse(createdAt) >= sinceMs);
    found.push(...recent);
    if (page.nextPageToken === null || recent.length < page.items.length) return found;
    pageToken = page.nextPageToken;
  }
}

/** Whether an operation holds the lock now, one that needs a person included. */
export async function isHeld(operations: Operations, lock: string): Promise<boolean> {
  return (await operations.list({ lock, states: HOLDING, limit: 1 })).items.length > 0;
}
