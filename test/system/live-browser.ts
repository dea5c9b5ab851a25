// A headless Chromium on the live deployment's sites, as a visitor's or, with `node`, as one that reaches a single node
// without the edge. Apart from the tests so that they read as what a person does.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

/** Debian's package; `npm test` installs it. */
const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  ...['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];
/** The machine may be busy with other things; nothing here measures. */
const PAGE_MS = 60_000;

export interface LiveBrowser {
  page: Page;
  context: BrowserContext;
  /** Opens an address; an answer that is not a page fails, with its words. */
  go(url: string): Promise<void>;
  close(): Promise<void>;
}

/** `via`: every connection for `hostPort` (`name:port`) goes to this address (`ip:port`) instead of the edge. */
export async function openBrowser(via?: { hostPort: string; address: string }): Promise<LiveBrowser> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-chromium-'));
  const rules = via === undefined ? [] : [`--host-resolver-rules=MAP ${via.hostPort} ${via.address}`];
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: CHROMIUM,
    headless: true,
    chromiumSandbox: false,
    args: [...FLAGS, ...rules],
  });
  context.setDefaultTimeout(PAGE_MS);
  const page = context.pages()[0] ?? (await context.newPage());
  return {
    context,
    page,
    async go(url) {
      const answer = await page.goto(url);
      const status = answer?.status() ?? 0;
      assert.equal(status, 200, `${url}: ${status} ${await page.title()}`);
    },
    async close() {
      await context.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A real PNG (W3C "Portable Network Graphics") of this size, 8-bit RGB, whose pixels compress badly. */
export function makePng(width: number, height: number): Buffer {
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let at = 0, seed = 1; at < rows.length; at += 1) {
    seed = (seed * 16_807) % 2_147_483_647;
    // The first byte of a row says how it is filtered: 0, not at all.
    rows[at] = at % (1 + width * 3) === 0 ? 0 : seed & 0xff;
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
