import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparePages, likeness, toFacts } from './pages.ts';

const words = (count: number, from = 0) =>
  Array.from(
    { length: count },
    (_, at) => `word${String.fromCharCode(97 + ((at + from) % 26))}${'x'.repeat(Math.floor((at + from) / 26))}`,
  ).join(' ');
const page = (body: string, status = 200, location = '') => [toFacts('/', { status, location, body })];
const good = `<html><head><title>Acme 12</title></head><body><p>${words(60)}</p></body></html>`;

void test('times, counters, scripts and a few new words are no difference', () => {
  const now = good
    .replace('Acme 12', 'Acme 13')
    .replace('<body>', '<body><script>var a = "uncovered";</script><p>Made in 2026 by hand');
  assert.equal(comparePages(page(good), page(now)), undefined);
});

void test('another status, target, title or text speaks against the upgrade', () => {
  assert.match(comparePages(page(good), page('', 500)) ?? '', /answered 200 before and 500 now/);
  assert.match(comparePages(page(good), page('', 0)) ?? '', /and nothing now/);
  assert.match(
    comparePages(page('', 302, 'http://a/x?y=1'), page('', 302, 'http://a/install.php')) ?? '',
    /led to \/x before/,
  );
  assert.match(
    comparePages(page(good), page(good.replace('Acme 12', 'Setup'))) ?? '',
    /titled "acme 0" before and "setup" now/,
  );
  assert.match(
    comparePages(page(good), page(good.replace(words(60), words(60, 30)))) ?? '',
    /shares only \d+ % of its words/,
  );
});

void test('words of errors count only when there are more of them than before', () => {
  const bad = good.replace('<p>', '<b>Warning</b>: x <p>');
  assert.match(comparePages(page(good), page(bad)) ?? '', /says "<b>warning<\/b>:" now/);
  assert.equal(comparePages(page(bad), page(bad)), undefined);
});

void test('a page that failed before proves nothing, and an empty one is no other page', () => {
  assert.equal(comparePages(page('', 500), page(good)), undefined);
  assert.equal(comparePages(page('hello'), page('goodbye')), undefined);
  assert.equal(likeness([], []), 1);
});

void test('sketches of long texts tell their likeness to a tenth', () => {
  const facts = (from: number) => toFacts('/', { status: 200, location: '', body: words(2000, from) }).words;
  assert.ok(Math.abs(likeness(facts(0), facts(500)) - 1500 / 2500) < 0.1);
});
