// Makes the Debian that every image begins with, from the machine's own package sources, and imports it.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderBaseBuild, renderTar } from '../apps/bake.ts';
import { runCommand } from '../engines/command.ts';
import type { StepContext } from '../platform/operations/operation.ts';
import type { ImageParts } from './parts.ts';
import { imageProblems } from './problems.ts';
import type { Bakeable } from './recipes.ts';

const MMDEBSTRAP_MS = 600_000;
const OUTPUT_SHOWN = 1_500;

/** What Incus must know of a root file system: architecture and name, as its metadata.yaml. */
export function renderMetadata(name: string, createdAtS: number): string {
  const architecture = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as 'x64' | 'arm64'] ?? process.arch;
  return `architecture: ${architecture}\ncreation_date: ${createdAtS}\nproperties:\n  description: ${name}\n  os: Debian\n`;
}

/** Makes and imports the base; returns the image's fingerprint. Its drafts are removed in any case. */
export async function makeBase(
  parts: ImageParts,
  bakeable: Bakeable,
  ctx: StepContext,
): Promise<{ fingerprint: string }> {
  const { fleet, shelf, scratchDir } = parts;
  const draft = join(scratchDir, `${bakeable.name}-${ctx.operationId}`);
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  try {
    const filesTar = join(draft, 'files.tar');
    const files = await runCommand(renderTar(join(shelf.base.folder, 'files')), {
      timeoutMs: 60_000,
      signal: ctx.signal,
    });
    await writeFile(filesTar, files.stdout);
    const rootfs = join(draft, 'rootfs.tar');
    const prepareScript = join(shelf.base.folder, 'prepare.sh');
    const argv = renderBaseBuild({
      base: shelf.base.value,
      suite: bakeable.suite,
      filesTar,
      prepareScript,
      out: rootfs,
    });
    ctx.say('mmdebstrap makes the root file system');
    const built = await (parts.buildRootfs ?? runCommand)(argv, { timeoutMs: MMDEBSTRAP_MS, signal: ctx.signal });
    if (built.code !== 0) {
      throw imageProblems.make('base-failed', {
        suite: bakeable.suite,
        output: built.stderr.trim().slice(-OUTPUT_SHOWN),
      });
    }
    await writeFile(join(draft, 'metadata.yaml'), renderMetadata(bakeable.name, Math.floor(Date.now() / 1000)));
    const metadata = join(draft, 'metadata.tar');
    await runCommand(['tar', '-C', draft, '-cf', metadata, 'metadata.yaml'], { timeoutMs: 10_000, signal: ctx.signal });
    ctx.say('importing it');
    const labels = { kind: 'image', recipe: bakeable.name, hash: bakeable.hash, operation: ctx.operationId };
    const image = await fleet.images.import(
      { metadata, rootfs },
      { alias: bakeable.name, labels, description: bakeable.title },
      { signal: ctx.signal },
    );
    return { fingerprint: image.fingerprint };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
