// Holding requests for a moment instead of refusing them: the first of a pool that sleeps while its first node starts, and those
// of a site that is being upgraded. A few lines of Lua that HAProxy runs in the request's own task, because its configuration
// language (3.0) cannot wait. Apart because it is the only program text of this engine.
import { edgeDir, edgeFiles } from './layout.ts';

/** So long a request is held; the page that it gets then asks again by itself. */
export const HOLD_MS = 20_000;
/** Further requests of a pool that sleeps get that page at once. */
export const HOLD_MOST = 500;
/** With more connections than this at the edge nobody is held for a site: they get its page at once. */
export const HOLD_BELOW = 2_000;
const LOOK_MS = 50;

/**
 * `lua.hold POOL`: waits until the pool has a server that is up, at most HOLD_MS. `lua.hold_site`: until the entry of the host in
 * `txn.host` no longer begins with `held/`; it reads the very map that is changed at run time. Sleeping costs no processor time.
 */
export function renderHold(): string {
  return `-- Written by the Espalier agent; a change made here is lost.
core.register_action('hold', { 'http-req' }, function(txn, pool)
  local left = ${HOLD_MS}
  while left > 0 and txn.f:nbsrv(pool) == 0 do
    core.msleep(${LOOK_MS})
    left = left - ${LOOK_MS}
  end
end, 1)

local hosts = Map.new('${edgeDir}/${edgeFiles.hostsMap}', Map._str)
core.register_action('hold_site', { 'http-req' }, function(txn)
  local host = txn:get_var('txn.host')
  local left = ${HOLD_MS}
  while left > 0 and string.sub(hosts:slookup(host), 1, 5) == 'held/' do
    core.msleep(${LOOK_MS})
    left = left - ${LOOK_MS}
  end
end)
`;
}
