// Says what happens again and again only now and then: an agent that is not let in knocks each second, and so may a stranger.

/**
 * True when the same was not said for `everyMs`. At most `most` different things are remembered: beyond that nothing is true until the
 * oldest is forgotten. `monotonicMs`: the time now, which only grows.
 */
export function makeSeldom(
  monotonicMs: () => number,
  { everyMs, most }: { everyMs: number; most: number },
): (what: string) => boolean {
  const saidMs = new Map<string, number>();
  return (what) => {
    const nowMs = monotonicMs();
    for (const [old, atMs] of saidMs) {
      if (nowMs - atMs < everyMs) break;
      saidMs.delete(old);
    }
    if (saidMs.has(what) || saidMs.size >= most) return false;
    saidMs.set(what, nowMs);
    return true;
  };
}
