// Open engines, one for each server, made when first asked for. Apart because an engine holds connections: the same
// one serves every operation until the server's address changes or the server is gone.
import { readLogin, readPlaced } from './container.ts';
import type { ServiceEngine, ServiceParts } from './kind.ts';

export interface ServiceEngines<E> {
  /** `common.not-found` for a server that the store does not know, or knows no address of. */
  engineFor(name: string): Promise<E>;
  /** Closes the engines of servers that are not in `names`. */
  keepOnly(names: ReadonlySet<string>): Promise<void>;
  close(): Promise<void>;
}

export function makeServiceEngines<E extends ServiceEngine>(parts: ServiceParts<E>): ServiceEngines<E> {
  const open = new Map<string, { key: string; engine: E }>();

  async function closeWhere(isUnwanted: (name: string) => boolean): Promise<void> {
    const unwanted = [...open].filter(([name]) => isUnwanted(name));
    for (const [name] of unwanted) open.delete(name);
    await Promise.all(unwanted.map(([, { engine }]) => engine.close()));
  }

  return {
    async engineFor(name) {
      const service = await readPlaced(parts, name);
      // A number is never used twice, so a server made anew under an old name gets an engine of its own.
      const key = `${service.number}@${service.address}`;
      const known = open.get(name);
      if (known?.key === key) return known.engine;
      const login = await readLogin(parts, service);
      const raced = open.get(name);
      if (raced?.key === key) return raced.engine;
      const engine = parts.kind.makeEngine(login);
      open.set(name, { key, engine });
      await raced?.engine.close();
      return engine;
    },
    keepOnly: (names) => closeWhere((name) => !names.has(name)),
    close: () => closeWhere(() => true),
  };
}
