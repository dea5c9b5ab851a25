// The verb that changes what a site may use.
import { type Command, InvalidArgumentError } from 'commander';
import { runChange } from '../cli.ts';
import { collect, enc, positive, type Run, seconds } from './arguments.ts';

interface LimitOptions {
  rate?: number;
  connections?: number;
  phpWorkers?: number;
  phpMemory?: number;
  requestTime?: number;
  upload?: number;
  databaseConnections?: number;
  statementTime?: number;
  reset?: string[];
}

/** As options say them, and as the API does. */
const KEYS = {
  rate: 'requestsPerS',
  connections: 'connections',
  'php-workers': 'phpWorkers',
  'php-memory': 'phpMemoryMb',
  'request-time': 'requestTimeoutS',
  upload: 'uploadMb',
  'database-connections': 'databaseConnections',
  'statement-time': 'statementTimeS',
} as const;

/** Parses `20/s`, or `20`. */
function rate(text: string): number {
  return positive(text.replace(/\/s$/, ''));
}

/** Names a limit. */
function limitName(text: string, before?: string[]): string[] {
  if (!Object.hasOwn(KEYS, text)) throw new InvalidArgumentError(`It is one of ${Object.keys(KEYS).join(', ')}.`);
  return collect(text, before);
}

export function addLimitVerb(site: Command, run: Run): void {
  site
    .command('limit')
    .description('change what it may use, so that it hurts no other')
    .argument('<site>')
    .option('--rate <n/s>', 'requests a second at the edge, counted over ten seconds', rate)
    .option('--connections <n>', 'requests at once at the edge', positive)
    .option('--php-workers <n>', 'PHP processes on each node', positive)
    .option('--php-memory <MiB>', 'memory of one request', positive)
    .option('--request-time <time>', 'longest time of one request: 90s, 5m', seconds)
    .option('--upload <MiB>', 'largest upload', positive)
    .option('--database-connections <n>', 'connections to its database', positive)
    .option('--statement-time <time>', 'longest time of one statement: 30s, 5m', seconds)
    .option('--reset <limit>', 'back to what its app says, named as above: rate; may be repeated', limitName)
    .action(
      run<LimitOptions>((cli, { reset = [], ...options }, [name = '']) => {
        const gone = Object.entries(KEYS).flatMap(([word, key]) => (reset.includes(word) ? [[key, null]] : []));
        const body = {
          requestsPerS: options.rate,
          connections: options.connections,
          phpWorkers: options.phpWorkers,
          phpMemoryMb: options.phpMemory,
          requestTimeoutS: options.requestTime,
          uploadMb: options.upload,
          databaseConnections: options.databaseConnections,
          statementTimeS: options.statementTime,
          ...Object.fromEntries(gone),
        };
        return runChange(cli, { method: 'PATCH', path: `/v1/sites/${enc(name)}/limits`, body });
      }),
    );
}
