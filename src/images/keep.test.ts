import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseOld } from './keep.ts';
import { type ImageRow, nameOf } from './store.ts';

const image = (recipe: string, number: number, more: Partial<ImageRow> = {}): ImageRow => ({
  ...{ recipe, number, fingerprint: `${recipe}${number}`, hash: '', appVersion: '', packages: {}, state: 'ready' },
  ...{
    parent: null,
    seed: null,
    filesHash: null,
    keptBecause: null,
    ownSite: null,
    code: null,
    createdAt: '',
    ...more,
  },
});

void test('the last three of each recipe stay, and what is used or wanted; the others go', () => {
  const wordpress = [6, 5, 4, 3, 2, 1].map((number) =>
    image('wordpress', number, number === 2 ? { keptBecause: 'the last before PHP 9' } : {}),
  );
  const images = [image('edge', 1), ...wordpress];
  const old = chooseOld(images, ({ number, recipe }) => recipe === 'wordpress' && number === 3);
  assert.deepEqual(old.map(nameOf), ['wordpress/1']);
});

void test('one that is half deleted is deleted again and does not count among the last three', () => {
  const images = [4, 3, 2, 1].map((number) => image('edge', number, number === 4 ? { state: 'deleting' } : {}));
  assert.deepEqual(chooseOld(images, () => false).map(nameOf), ['edge/4']);
});
