// What is read from the program that lists held mail in a node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHeldMail } from './held-mail.ts';

void test('each line is a message, with its subject as people read it', () => {
  const output = [
    '20261121-093000-wordpress-1-77.eml\t812\tann@example.org\t=?UTF-8?Q?Gr=C3=BC=C3=9Fe_an_alle?=',
    '20261120-080001-wordpress-2-5.eml\t300\tbob@example.org\t=?utf-8?B?UmVjaG51bmc=?=',
    'something else',
    '',
  ].join('\n');
  assert.deepEqual(parseHeldMail(output), [
    {
      ...{ name: '20261121-093000-wordpress-1-77.eml', at: '2026-11-21T09:30:00Z', bytes: 812 },
      ...{ to: 'ann@example.org', subject: 'Grüße an alle' },
    },
    {
      ...{ name: '20261120-080001-wordpress-2-5.eml', at: '2026-11-20T08:00:01Z', bytes: 300 },
      ...{ to: 'bob@example.org', subject: 'Rechnung' },
    },
  ]);
});
