// What stands on this server according to the controller: its nodes and edges. Kept on disk, so that after a restart
// without the controller the agent goes on probing the same nodes. Apart from the pools' own configuration.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../lib/log.ts';
import { type ControllerContract, type ServerDocument, serverDocumentSchema } from '../protocol/contract.ts';
import type { Peer } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';

const READ_TIMEOUT_MS = 10_000;

export interface ServerFollower {
  /** What was last heard, from memory or disk. */
  current(): ServerDocument | undefined;
  /** Loads the copy on disk, if there is one that can be read. */
  load(): Promise<void>;
  /** Asks the controller and keeps the answer. */
  sync(): Promise<ServerDocument>;
}

/** `file`: where the copy is kept. `onChange` hears every document, the loaded one too. */
export function makeServerFollower(parts: {
  file: string;
  controller: () => Peer<ControllerContract> | undefined;
  onChange: (document: ServerDocument) => void;
  log: Logger;
}): ServerFollower {
  const { file, controller, onChange, log } = parts;
  let document: ServerDocument | undefined;
  let last: Promise<unknown> = Promise.resolve();

  async function keep(text: string): Promise<void> {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    // Also after a power cut: whom it fences must not be let in again by a boot.
    await writeFile(`${file}.new`, text, { mode: 0o600, flush: true });
    await rename(`${file}.new`, file);
  }

  async function syncOnce(): Promise<ServerDocument> {
    const peer = controller();
    if (peer === undefined) throw protocolProblems.make('disconnected', { name: 'controller' });
    const next = await peer.call('config.server', {}, { timeoutMs: READ_TIMEOUT_MS });
    document = next;
    onChange(next);
    await keep(JSON.stringify(next));
    return next;
  }

  return {
    current: () => document,
    async load() {
      const text = await readFile(file, 'utf8').catch(() => undefined);
      if (text === undefined) return;
      const kept = parse(text);
      if (kept === undefined) {
        log.warn({ file }, 'the kept copy of the server document cannot be used; waiting for the controller');
        return;
      }
      document = kept;
      onChange(kept);
    },
    sync() {
      // One after the other, so that no older answer comes last.
      const mine = last.then(syncOnce, syncOnce);
      last = mine;
      return mine;
    },
  };
}

function parse(text: string): ServerDocument | undefined {
  try {
    return serverDocumentSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
