// The import graph of src/: no circle, no upward import, nothing unknown. The layering is the table below and nothing else.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';

const SRC = import.meta.dirname;

/** What each folder may import directly, besides itself; what those may import it may too. */
const LAYERS: Record<string, readonly string[]> = {
  lib: [],
  protocol: ['lib'],
  engines: ['protocol'],
  platform: ['engines'],
  servers: ['platform'],
  apps: ['platform'],
  controllers: ['servers'],
  images: ['servers', 'apps'],
  services: ['images', 'controllers'],
  databases: ['services'],
  caches: ['services'],
  pools: ['images'],
  sites: ['pools', 'databases', 'caches'],
  edge: ['sites', 'services'],
  sequencer: ['sites'],
  votes: ['sites'],
  waves: ['sites'],
  drain: ['edge'],
  deployment: ['edge', 'waves'],
  api: ['deployment', 'drain', 'controllers', 'sequencer', 'votes', 'waves'],
  // With a simulated fleet the controller plays the agents too.
  main: ['api', 'agent'],
};
/** Programs of their own: they import these folders only. */
const PROGRAMS: Record<string, readonly string[]> = { agent: ['engines'], cli: ['lib'] };

/** Static, re-exporting and dynamic imports of files; type-only ones count, since a reader follows them too. */
const IMPORT = /(?:^|[;\s])(?:import|export)\b[^'";]*?\bfrom\s*'(\.[^']+)'|\bimport\s*\(?\s*'(\.[^']+)'/g;

export function parseImports(text: string): string[] {
  const code = text.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '');
  return [...code.matchAll(IMPORT)].map(([, from, other]) => from ?? other ?? '');
}

type Graph = Map<string, string[]>;

function readGraph(): Graph {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => /(?<!\.test)\.ts$/.test(file));
  return new Map(
    files.map((file) => {
      // package.json is data, and below everything.
      const imports = parseImports(readFileSync(join(SRC, file), 'utf8')).filter((path) => path.endsWith('.ts'));
      return [file, imports.map((path) => relative(SRC, resolve(SRC, dirname(file), path)))];
    }),
  );
}

/** The folder directly below src/; files beside the folders build the controller: `main`. */
const folderOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : 'main');

function allowedOf(folder: string, layers: Record<string, readonly string[]>): Set<string> {
  const direct = PROGRAMS[folder] ?? layers[folder] ?? [];
  return new Set([folder, ...direct, ...direct.flatMap((below) => [...allowedOf(below, layers)])]);
}

export function findUpward(graph: Graph, layers = LAYERS): string[] {
  return [...graph].flatMap(([file, imports]) => {
    const folder = folderOf(file);
    if (layers[folder] === undefined && PROGRAMS[folder] === undefined) return [`${file} is in no layer`];
    const allowed = allowedOf(folder, layers);
    return imports.filter((to) => !allowed.has(folderOf(to))).map((to) => `${file} imports ${to}`);
  });
}

/** Each circle once, as `a.ts → b.ts → a.ts`. */
export function findCircles(graph: Graph): string[] {
  const circles = new Set<string>();
  const done = new Set<string>();
  const visit = (file: string, path: string[]) => {
    const at = path.indexOf(file);
    if (at >= 0) circles.add([...path.slice(at), file].join(' → '));
    if (at >= 0 || done.has(file)) return;
    for (const to of graph.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return [...circles];
}

void describe('the import graph', () => {
  const graph = readGraph();

  void it('has no circle', () => assert.deepEqual(findCircles(graph), []));

  void it('has no upward import, and every folder has its layer', () => assert.deepEqual(findUpward(graph), []));

  void it('has no import of a file that is not there', () => {
    const missing = [...graph].flatMap(([file, imports]) =>
      imports.filter((to) => !graph.has(to)).map((to) => `${file} imports ${to}`),
    );
    assert.deepEqual(missing, []);
  });

  void it('is seen whole: every form of import, and planted faults are found', () => {
    const forms = `import { a } from './a.ts';\nimport './b.ts';\nexport type { c } from '../c.ts';\n// import './no.ts';
import {\n  d,\n  e,\n} from './d.ts';\nconst f = await import('./f.ts');\nimport type g from './g.ts';import h from 'node:fs';`;
    assert.deepEqual(parseImports(forms), ['./a.ts', './b.ts', '../c.ts', './d.ts', './f.ts', './g.ts']);
    const planted: Graph = new Map([
      ['lib/errors.ts', ['sites/store.ts']],
      ['sites/store.ts', ['pools/store.ts']],
      ['pools/store.ts', ['lib/errors.ts']],
      ['cli/main.ts', ['api/api.ts', 'lib/errors.ts']],
      ['utils/all.ts', []],
    ]);
    assert.deepEqual(findCircles(planted), ['lib/errors.ts → sites/store.ts → pools/store.ts → lib/errors.ts']);
    assert.deepEqual(findUpward(planted), [
      'lib/errors.ts imports sites/store.ts',
      'cli/main.ts imports api/api.ts',
      'utils/all.ts is in no layer',
    ]);
  });
});
