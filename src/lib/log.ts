// The log: structured lines with secrets struck out. Apart so that every layer takes a Logger as a
// parameter and nothing holds one at module level.
import { pino } from 'pino';

/** A structured logger; the first argument's fields go into the line. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

const SECRET_FIELDS = [
  'password',
  '*.password',
  '*.*.password',
  'token',
  '*.token',
  'secret',
  '*.secret',
  'secrets',
  '*.secrets',
];

/** A logger that writes JSON lines to standard error (file descriptor 2). */
export function makeLogger(name: string, level = 'info'): Logger {
  return pino({ name, level, redact: { paths: SECRET_FIELDS, censor: '[secret]' } }, pino.destination(2));
}

/** A logger that says nothing, for tests. */
export function makeSilentLogger(): Logger {
  const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };
  return silent;
}
