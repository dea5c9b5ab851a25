// Letting requests wait: a few lines of Lua that HAProxy runs in the request's own task, because its configuration language
// (3.0) cannot wait. One waits for the first node of a pool that sleeps, one for a site on its last seconds of a move. Apart
// because it is the only program text of this engine.
import { edgeDir, edgeFiles } from './layout.ts';

/** So long a request is held; the page that it gets then asks again by itself. */
export const HOLD_MS = 20_000;
/** Further requests of a pool that sleeps get that page at once. */
export const HOLD_MOST = 500;
const LOOK_MS = 50;
/** A move ends within seconds, and each of these looks is a look-up in memory. */
const SITE_LOOK_MS = 10;

/**
 * `lua.hold POOL`: waits until the pool has a server that is up. `lua.hold_site`: waits while the map says `held/…` of the
 * request's host (txn.host). Both wait at most HOLD_MS; sleeping costs no processor time.
 */
export function renderHold(): string {
  return `-- Written by the Espalier agent; a change made here is lost.
local hosts = Map.new('${edgeDir}/${edgeFiles.hostsMap}', Map._str)
local waiting = 0

local function nowMs()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

core.register_action('hold', { 'http-req' }, function(txn, pool)
  local untilMs = nowMs() + ${HOLD_MS}
  while nowMs() < untilMs and txn.f:nbsrv(pool) == 0 do
    core.msleep(${LOOK_MS})
  end
end, 1)

core.register_action('hold_site', { 'http-req' }, function(txn)
  if waiting >= ${HOLD_MOST} then return end
  waiting = waiting + 1
  local host = txn:get_var('txn.host')
  local untilMs = nowMs() + ${HOLD_MS}
  while nowMs() < untilMs do
    local route = hosts:lookup(host)
    if route == nil or string.sub(route, 1, 5) ~= 'held/' then break end
    core.msleep(${SITE_LOOK_MS})
  end
  waiting = waiting - 1
end, 0)
`;
}
