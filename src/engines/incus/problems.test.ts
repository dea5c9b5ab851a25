import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toIncusProblem } from './problems.ts';

/** Messages as Incus 6.0.4 gave them. */
const MESSAGES: [number, string, string][] = [
  [404, 'Failed to fetch instance "zz" in project "p": Instance not found', 'not-found'],
  [0, 'Snapshot seed/absent does not exist', 'not-found'],
  [500, 'Image not provided for instance creation', 'source-not-found'],
  [0, 'UNIQUE constraint failed: instances.project_id, instances.name', 'exists'],
  [400, 'Volume by that name already exists', 'exists'],
  [409, 'Snapshot "s" already in use', 'exists'],
  [0, 'The image already exists: 4ab6', 'exists'],
  [400, 'The storage volume is still in use', 'in-use'],
  [400, 'Instance is running', 'running'],
  [0, 'The instance is already running', 'running'],
  [0, 'Cannot export a running instance as an image', 'running'],
  [400, 'Instance is not running', 'not-running'],
  [400, 'The instance is already stopped', 'not-running'],
  [
    0,
    'Failed start validation for device "eth0": IP address "10.0.0.5" already defined on another NIC',
    'address-taken',
  ],
  [0, 'Failed shutting down instance, status is "Running": context deadline exceeded', 'timed-out'],
  [0, 'write /rootfs/x: no space left on device', 'no-space'],
  [0, 'write /rootfs/x: disk quota exceeded', 'no-space'],
  [409, 'Instance is busy running a "create" operation', 'busy'],
  [412, 'ETag does not match: 1 vs 2', 'busy'],
  [503, 'Daemon is starting up', 'away'],
  [500, "Server isn't ready yet", 'away'],
  [500, 'failed to begin transaction: no available dqlite leader server found', 'away'],
  [500, 'Error: driver: bad connection: database is locked', 'away'],
  [403, 'User does not have permission', 'no-access'],
  [400, 'Invalid config: Unknown configuration key: limits.memry', 'refused'],
];

for (const [status, message, name] of MESSAGES) {
  void it(`"${message}" (${status}) is ${name}`, () => {
    const problem = toIncusProblem('container a', status, message);
    assert.equal(problem.code, `incus.${name}`);
    assert.equal(problem.retryable, ['away', 'busy', 'timed-out', 'not-running'].includes(name));
    assert.match(String(problem.cause), new RegExp(message.slice(-8).replaceAll(/\W/g, '.')));
  });
}
