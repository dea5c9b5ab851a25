// Three ways to show a step tree: redrawn on a terminal, a line for each change, a JSON line for each change. Our own
// in place of a task-list library, because those want all tasks known at the start and an operation's steps grow.
import type { Clock } from '../../lib/clock.ts';
import type { Style, Terminal } from '../terminal.ts';
import {
  durationMsOf,
  listNodes,
  type PlacedNode,
  renderDuration,
  type StepDisplay,
  type StepNode,
  type StepState,
} from './step-tree.ts';

const MARKS: Record<StepState, [mark: string, style: Style]> = {
  pending: ['·', 'dim'],
  running: ['▸', 'cyan'],
  waiting: ['…', 'yellow'],
  done: ['✓', 'green'],
  failed: ['✗', 'red'],
  undoing: ['↶', 'yellow'],
  undone: ['↶', 'yellow'],
  skipped: ['-', 'dim'],
};
const ENDS: readonly StepState[] = ['done', 'failed', 'undone', 'skipped'];
/** Plain lines tell the start of what has taken this long; they look for it this often. */
const LONG_MS = 1_000;
const LOOK_EVERY_MS = 250;
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** One line of the tree, cut to the terminal's width. */
export function renderStepLine(terminal: Terminal, node: StepNode, depth: number, nowMs: number): string {
  const [staticMark, style] = MARKS[node.state];
  const spins = terminal.live && (node.state === 'running' || node.state === 'undoing');
  const mark = spins ? (SPINNER[Math.floor(nowMs / 100) % SPINNER.length] ?? staticMark) : staticMark;
  const durationMs = durationMsOf(node, nowMs);
  const duration = durationMs === undefined || node.state === 'skipped' ? '' : ` ${renderDuration(durationMs)}`;
  const head = `${'  '.repeat(depth)}${mark} ${node.name}${duration}`;
  const room = Math.max(0, terminal.columns - head.length - 3);
  const note = node.note === undefined || room < 8 ? '' : ` (${cutTo(node.note, room)})`;
  const painted = head.replace(mark, () => terminal.paint(style, mark));
  return `${duration === '' ? painted : painted.replace(duration, () => terminal.paint('dim', duration))}${terminal.paint('dim', note)}`;
}

function cutTo(text: string, width: number): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}

/** Lines that fit the screen: finished steps' children are folded first, then the oldest lines give way. */
function fitLines(roots: readonly StepNode[], rows: number): PlacedNode[] {
  const all = listNodes(roots);
  if (all.length <= rows) return all;
  const fold = (node: StepNode): StepNode => ({
    ...node,
    children: node.state === 'done' || node.state === 'pending' ? [] : node.children.map(fold),
  });
  return listNodes(roots.map(fold)).slice(-rows);
}

/** Redraws in place ten times a second while something runs. The final picture is the whole tree. */
export function makeLiveDisplay(terminal: Terminal, clock: Clock): StepDisplay {
  let roots: readonly StepNode[] = [];
  let drawnRows = 0;
  const draw = (lines: readonly PlacedNode[]) => {
    const nowMs = clock.nowMs();
    const text = lines.map(({ node, depth }) => `${renderStepLine(terminal, node, depth, nowMs)}\u001b[K\n`).join('');
    const up = drawnRows === 0 ? '' : `\u001b[${drawnRows}A`;
    terminal.err(`${up}\u001b[?25l${text}\u001b[J`);
    drawnRows = lines.length;
  };
  const redraw = () => draw(fitLines(roots, terminal.rows - 1));
  const timer = setInterval(redraw, 100);
  return {
    update(next) {
      roots = next;
      redraw();
    },
    close() {
      clearInterval(timer);
      draw(listNodes(roots));
      terminal.err('\u001b[?25h');
    },
  };
}

/** What must change for a node to be told again: its state, and while it waits, the reason. */
function keyOf({ state, note }: StepNode): string {
  // An operation that waits has no reason of its own: its step tells it.
  if (state === 'waiting') return note === undefined ? 'running' : `waiting ${note}`;
  return state;
}

/**
 * Lines for logs and pipes: each end, a parent's after its children's, and each reason to wait; a start (`… name`) only
 * of what takes long. Several operations run at once, so a line that follows one of another family says whose step it
 * is: `Bake the image of wordpress › packages`.
 */
export function makePlainDisplay(terminal: Terminal, clock: Clock): StepDisplay {
  const shown = new Map<string, string>();
  let roots: readonly StepNode[] = [];
  let before: PlacedNode | undefined;
  const print = (placed: PlacedNode, node: StepNode) => {
    const { depth, parent } = placed;
    const near = [before?.node.id, before?.parent?.id];
    const clear = parent === undefined || near.includes(parent.id) || before?.parent?.id === node.id;
    before = placed;
    const named = clear ? node : { ...node, name: `${parent.name} › ${node.name}` };
    terminal.err(`${renderStepLine(terminal, named, depth, clock.nowMs())}\n`);
  };
  const visit = (node: StepNode, depth: number, parent: StepNode | undefined) => {
    const placed = { node, depth, parent };
    const key = keyOf(node);
    const isNew = shown.get(node.id) !== key;
    const isStart = key === 'running';
    const isEnd = ENDS.includes(node.state);
    const isDue = !isStart || (durationMsOf(node, clock.nowMs()) ?? 0) >= LONG_MS;
    const told = isNew && isDue && node.state !== 'pending';
    if (told) shown.set(node.id, key);
    const { id, name, children } = node;
    if (told && !isEnd) print(placed, isStart ? { id, name, children, state: 'waiting' } : node);
    for (const child of children) visit(child, depth + 1, node);
    if (told && isEnd) print(placed, node);
  };
  const look = () => {
    for (const root of roots) visit(root, 0, undefined);
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  return {
    update(next) {
      roots = next;
      look();
    },
    close: () => clearInterval(timer),
  };
}

/** A JSON object a line on standard output: id, name, state, seconds, note. */
export function makeJsonDisplay(terminal: Terminal, clock: Clock): StepDisplay {
  const shown = new Map<string, string>();
  return {
    update(roots) {
      for (const { node } of listNodes(roots)) {
        const { id, name, state, note } = node;
        const key = state === 'waiting' ? `waiting ${note ?? ''}` : state;
        if (state === 'pending' || shown.get(id) === key) continue;
        shown.set(id, key);
        const durationMs = durationMsOf(node, clock.nowMs());
        const seconds = durationMs === undefined ? undefined : Math.round(durationMs) / 1000;
        terminal.out(`${JSON.stringify({ step: id, name, state, seconds, note })}\n`);
      }
    },
    close() {},
  };
}

/** Shows nothing: for `--json` commands whose only output is the final object. */
export function makeSilentDisplay(): StepDisplay {
  return { update() {}, close() {} };
}

/** The display that suits: JSON lines if asked for, live on a terminal, plain lines otherwise. */
export function makeStepDisplay(terminal: Terminal, clock: Clock, jsonLines: boolean): StepDisplay {
  if (jsonLines) return makeJsonDisplay(terminal, clock);
  return terminal.live ? makeLiveDisplay(terminal, clock) : makePlainDisplay(terminal, clock);
}
