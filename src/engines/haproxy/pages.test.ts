// Tests of the pages that the edge answers by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderPages } from './pages.ts';

void test('every page is a whole HTTP response that fits a buffer and loads nothing from elsewhere', () => {
  const pages = renderPages();
  assert.deepEqual(
    [...pages.keys()],
    ['broken', 'creating', 'held', 'no-node', 'suspended', 'too-many', 'too-slow', 'unknown', 'waking'].map(
      (name) => `${name}.http`,
    ),
  );
  for (const [name, text] of pages) {
    const [head = '', body = ''] = text.split('\r\n\r\n');
    assert.match(head, /^HTTP\/1\.1 \d{3} [A-Z]/, name);
    assert.equal(head.match(/Content-Length: (\d+)/)?.[1], String(Buffer.byteLength(body)), name);
    assert.ok(Buffer.byteLength(text) < 8_000, name);
    assert.doesNotMatch(body, /src=|href=|url\(|@import/, name);
    assert.match(body, /prefers-color-scheme:dark/, name);
  }
});

void test('what passes by itself says when to come back, and a site in the making shows itself', () => {
  const pages = renderPages();
  assert.match(pages.get('suspended.http') ?? '', /\r\nRetry-After: 3600\r\n/);
  assert.match(pages.get('too-many.http') ?? '', /^HTTP\/1\.1 429 .*\r\nRetry-After: 1\r\n/s);
  assert.match(pages.get('creating.http') ?? '', /<meta http-equiv="refresh" content="5">/);
  assert.doesNotMatch(pages.get('unknown.http') ?? '', /Retry-After/);
});
