// Holding a pool's first request while its first node starts: a few lines of Lua that HAProxy runs in the request's own task,
// because its configuration language (3.0) cannot wait. Apart because it is the only program text of this engine.

/** So long a request is held; the page that it gets then asks again by itself. */
export const HOLD_MS = 20_000;
/** Further requests of a pool that sleeps get that page at once. */
export const HOLD_MOST = 500;
const LOOK_MS = 50;

/** `lua.hold POOL`: waits until the pool has a server that is up, at most HOLD_MS. Sleeping costs no processor time. */
export function renderHold(): string {
  return `-- Written by the Espalier agent; a change made here is lost.
core.register_action('hold', { 'http-req' }, function(txn, pool)
  local left = ${HOLD_MS}
  while left > 0 and txn.f:nbsrv(pool) == 0 do
    core.msleep(${LOOK_MS})
    left = left - ${LOOK_MS}
  end
end, 1)
`;
}
