// A pool's folder below the one that all servers share. Never touched unless the shared one is mounted: else uploads would be
// written to this server's own disk, under the mount.
import { chown, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findContentFault } from '../lib/content-path.ts';
import type { SharedContent } from '../protocol/contract.ts';
import { protocolProblems } from '../protocol/problems.ts';

async function assertMounted({ root, mark }: SharedContent): Promise<void> {
  const why = await findContentFault(root, mark);
  if (why !== undefined) throw protocolProblems.make('content-away', { why });
}

/** Makes it, owned by the containers' root; one that is there is fine. */
export async function makeContent(content: SharedContent): Promise<void> {
  await assertMounted(content);
  await mkdir(dirname(content.path), { recursive: true, mode: 0o711 });
  await mkdir(content.path, { recursive: true, mode: 0o755 });
  await chown(content.path, content.base, content.base);
}

/** Removes it with everything in it. */
export async function removeContent(content: SharedContent): Promise<void> {
  await assertMounted(content);
  await rm(content.path, { recursive: true, force: true });
}
