// Tables, documents and problems as text. Apart and pure, so that tests compare exactly what is printed.
import type { ProblemDocument } from '../lib/errors.ts';
import type { Terminal } from './terminal.ts';

/** One column: its heading and a row's cell. */
export interface Column<Row> {
  title: string;
  cell(row: Row): string;
}

/** Columns two spaces apart, headings in capitals, no rules: good to read and to cut. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map((column) => column.title.toUpperCase()),
    ...rows.map((row) => columns.map((column) => column.cell(row).replaceAll(/\s+/g, ' ') || '-')),
  ];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** A value of a document as one cell: lists with commas, absent as nothing, objects as JSON. */
export function toCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(toCell).join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** The age of an ISO time: `12s`, `5m`, `3h`, `9d`. */
export function renderAge(iso: string | null | undefined, nowMs: number): string {
  if (iso === null || iso === undefined) return '';
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** A problem for people: title, what happened, what to do, and the code to look up. */
export function renderProblem(terminal: Terminal, problem: ProblemDocument): string {
  const head = `${terminal.paint('red', '✗')} ${terminal.paint('bold', problem.title)}`;
  return `${head}\n  ${problem.detail}\n  ${problem.todo}\n  ${terminal.paint('dim', `(${problem.code})`)}\n`;
}

/** Pretty JSON, one document. */
export function renderJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
