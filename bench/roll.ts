// `roll`: a pool goes ten times to another image under load, then four times to a bad one, from which it must come back by
// itself. How many requests fail, and what a node takes.
import type { OperationDocument, PageDocument } from '../src/cli/documents.ts';
import { type Benchmark, toRow } from './bench.ts';
import { type LoadPart, type LoadReport, startLoad } from './load.ts';
import type { Place } from './place.ts';
import { createSite, makeNames, removeLeftovers } from './sites.ts';
import { median, round } from './statistics.ts';

const ROLLS = 10;
const NODES = 2;
/** Good images are watched for a moment only: what is measured is the way, not the wait. */
const SHORT_BAKE_S = 3;
/** Longer than the minute after which the last bad image fails. */
const BAKE_S = 90;
const POLL_MS = 250;
const ROLL_MS = 600_000;
const PAGE = '/usr/share/plain/index.php';

/** A bad image: what is done to a seed before it is baked. */
interface Bad {
  what: string;
  spoil(place: Place, instance: string): Promise<void>;
  bakeS: number;
  /** Its errors begin when visitors are there: some see them, as long as the canary has them. */
  isSeen: boolean;
}

const write = (place: Place, instance: string, path: string, text: string) =>
  place.fleet.files.write(instance, path, text);
const page = (more: string) =>
  `<?php\n${more}\nheader('Content-Type: text/plain');\necho "A page of PHP\\n", str_repeat("The quick brown fox.\\n", 40);\n`;

/** A minute after the boot the page begins to fail. */
const TIMER = '[Timer]\nOnBootSec=60\nAccuracySec=1s\n[Install]\nWantedBy=timers.target\n';
const SERVICE = '[Service]\nType=oneshot\nExecStart=touch /usr/share/plain/broken\n';

const BAD: readonly Bad[] = [
  {
    what: 'fails to start',
    bakeS: SHORT_BAKE_S,
    isSeen: false,
    async spoil(place, instance) {
      await place.fleet.exec(instance, ['systemctl', 'mask', '--now', 'nginx.service']);
    },
  },
  {
    what: 'starts and serves errors',
    bakeS: SHORT_BAKE_S,
    isSeen: false,
    spoil: (place, instance) => write(place, instance, PAGE, page('http_response_code(500);')),
  },
  {
    what: 'is slow',
    bakeS: SHORT_BAKE_S,
    isSeen: false,
    spoil: (place, instance) => write(place, instance, PAGE, page('usleep(1000000);')),
  },
  {
    what: 'fails after a minute',
    bakeS: BAKE_S,
    isSeen: true,
    async spoil(place, instance) {
      await write(place, instance, PAGE, page("if (file_exists('/usr/share/plain/broken')) http_response_code(500);"));
      await write(place, instance, '/etc/systemd/system/break.timer', TIMER);
      await write(place, instance, '/etc/systemd/system/break.service', SERVICE);
      await place.fleet.exec(instance, ['systemctl', 'enable', 'break.timer']);
    },
  },
];

export const roll: Benchmark = {
  name: 'roll',
  async run(place) {
    await removeLeftovers(place, 'plain');
    await place.ensurePlainPool(NODES);
    const name = makeNames(place)();
    await createSite(place, name, 'plain');
    const host = place.hostOf(name);
    const goods = await makeGoodImages(place);

    const seconds: number[] = [];
    const good = await underLoad(place, host, async () => {
      for (let at = 0; at < ROLLS; at += 1) {
        const now = await readImage(place);
        const ended = await rollTo(place, goods.find((one) => one !== now) ?? now, SHORT_BAKE_S);
        if (ended.state !== 'succeeded') throw new Error(`roll ${at + 1} ${ended.state}: ${ended.problem?.detail}`);
        const perNode = secondsOf(ended, ['check', 'first', 'rest', 'commit']) / NODES;
        seconds.push(perNode);
        place.say(`roll ${at + 1} of ${ROLLS}: ${perNode.toFixed(1)} s a node`);
      }
    });

    let returned = 0;
    let unexpected = 0;
    const details = tell(good);
    const bads: Record<string, number> = {};
    for (const bad of BAD) {
      const from = await readImage(place);
      const image = await makeBadImage(place, bad);
      let ended: OperationDocument | undefined;
      const report = await underLoad(place, host, async () => {
        ended = await rollTo(place, image, bad.bakeS);
      });
      const nodes = await place.client.request<PageDocument<{ imageNumber: number; state: string }>>(
        'GET',
        '/v1/nodes',
        {
          query: { pool: 'plain' },
        },
      );
      const isBack =
        ended?.state === 'recovered' &&
        nodes.body.items.length === NODES &&
        nodes.body.items.every(({ imageNumber, state }) => imageNumber === from && state === 'ready');
      if (isBack) returned += 1;
      if (!bad.isSeen) unexpected += report.failed;
      else bads.canary_failed = report.failed;
      if (bad.isSeen) bads.canary_failed_share = round(report.failed / report.requests, 4);
      const why = ended?.problem?.detail ?? 'no reason given';
      details.push(
        `${bad.what}: ${isBack ? 'returned' : 'NOT RETURNED'}, ${report.failed} of ${report.requests} requests failed; ${why}`,
      );
      place.say(details.at(-1) ?? '');
    }

    const figures = {
      failed_requests: good.failed + unexpected,
      rolls: ROLLS,
      bad_images: BAD.length,
      bad_images_returned: returned,
      roll_s_per_node: round(median(seconds), 1),
    };
    return {
      figures,
      peers: { requests: good.requests, longest_answer_ms: good.longestMs, ...bads },
      rows: [
        toRow(
          `failed of ${good.requests} requests while a pool of ${NODES} was rolled ${ROLLS} times`,
          good.failed,
          '',
          {
            is: '<=',
            value: 0,
          },
        ),
        toRow('failed requests by images that were bad from the beginning', unexpected, '', { is: '<=', value: 0 }),
        toRow('bad images from which the pool came back by itself', returned, '', { is: '>=', value: BAD.length }),
        toRow('failed requests by the image that was good for a minute (its canary only)', bads.canary_failed ?? 0, ''),
        toRow('a node, without the time that it is watched', figures.roll_s_per_node, 's'),
        toRow('the longest wait of any request in the ten rolls', good.longestMs, 'ms'),
      ],
      details,
    };
  },
};

async function underLoad(place: Place, host: string, work: () => Promise<void>): Promise<LoadReport> {
  const parts: LoadPart[] = [
    { host, method: 'GET', path: '/', workers: 8, pauseMs: 20 },
    { host, method: 'GET', path: '/file.txt', workers: 4, pauseMs: 20 },
    { host, method: 'GET', path: '/?wait=400', workers: 4, pauseMs: 20 },
    // Never sent twice by the edge: they fail when a node that still gets visitors does not serve them.
    { host, method: 'POST', path: '/', workers: 2, pauseMs: 50 },
  ];
  const load = startLoad(place.door, parts, () => undefined);
  try {
    await work();
  } finally {
    await load.stop();
  }
  return load.stop();
}

const tell = ({ failures }: LoadReport): string[] =>
  Object.entries(failures).map(([what, count]) => `${count} times: ${what}`);

async function rollTo(place: Place, image: number, bakeTimeS: number): Promise<OperationDocument> {
  const id = await place.begin('POST', '/v1/pools/plain/roll', { image, bakeTimeS });
  const bound = AbortSignal.timeout(ROLL_MS);
  for (;;) {
    const { body } = await place.client.request<OperationDocument>('GET', `/v1/operations/${id}`, { signal: bound });
    if (!['pending', 'running', 'recovering'].includes(body.state)) return body;
    await place.clock.wait(POLL_MS, bound);
  }
}

function secondsOf({ steps }: OperationDocument, names: readonly string[]): number {
  const lengthMs = (from: string | null, to: string | null): number =>
    from === null || to === null ? 0 : Date.parse(to) - Date.parse(from);
  const mine = steps.filter(({ name }) => names.includes(name));
  return mine.reduce((sum, { startedAt, endedAt }) => sum + lengthMs(startedAt, endedAt), 0) / 1000;
}

async function readImage(place: Place): Promise<number> {
  return (await place.client.request<{ imageNumber: number }>('GET', '/v1/pools/plain')).body.imageNumber;
}

async function readNewest(place: Place): Promise<number> {
  const { body } = await place.client.request<PageDocument<{ recipe: string; number: number }>>('GET', '/v1/images');
  return Math.max(...body.items.filter(({ recipe }) => recipe === 'plain').map(({ number }) => number));
}

const keep = (place: Place, number: number) =>
  place.client.request('PATCH', `/v1/images/plain/${number}`, { body: { keep: true, why: 'the bench rolls to it' } });

/** The pool's image and another one, alike in all but its number. */
async function makeGoodImages(place: Place): Promise<number[]> {
  const first = await readImage(place);
  place.say('baking a second image of the app plain');
  await place.finish(await place.begin('POST', '/v1/images', { recipe: 'plain' }));
  const second = await readNewest(place);
  for (const number of [first, second]) await keep(place, number);
  return [first, second];
}

/** By the way that people take: a seed, changed, baked. */
async function makeBadImage(place: Place, bad: Bad): Promise<number> {
  const name = `bad-${place.clock.nowMs().toString(36)}`;
  const image = await readImage(place);
  await place.finish(await place.begin('POST', '/v1/seeds', { name, app: 'plain', image }));
  await bad.spoil(place, `seed-${name}`);
  await place.finish(await place.begin('POST', `/v1/seeds/${name}/bake`, { upgrade: false }));
  await place.finish(await place.begin('DELETE', `/v1/seeds/${name}`));
  return readNewest(place);
}
