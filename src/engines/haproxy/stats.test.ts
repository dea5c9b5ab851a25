// Tests of reading HAProxy's counters.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStats } from './stats.ts';

void test('counters are read by their columns, servers under their pools', () => {
  const csv = `# pxname,svname,scur,econ,eresp,wretr,wredis,status,rate,check_status,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,req_rate,req_tot,rtime,intercepted,
_web,FRONTEND,7,,,,,OPEN,3,,90,1,8,1,12,100,,9,
shop,n1,2,3,4,5,6,UP 2/3,11,* L7OK,80,1,0,1,,82,21,,
shop,BACKEND,2,3,4,5,6,UP,11,,80,1,0,1,11,91,21,,
empty,BACKEND,0,0,0,0,0,DOWN,0,,0,0,0,0,0,0,0,,
`;
  const traffic = {
    requestsPerS: 11,
    current: 2,
    queued: 0,
    responses2xx: 80,
    responses3xx: 1,
    responses4xx: 0,
    responses5xx: 1,
    connectErrors: 3,
    responseErrors: 4,
    retries: 5,
    redispatches: 6,
    responseTimeMs: 21,
  };
  const stats = parseStats(csv);
  assert.deepEqual(
    { ...stats, pools: stats.pools.slice(0, 1) },
    {
      connections: 7,
      requests: 100,
      requestsPerS: 12,
      answeredByEdge: 9,
      pools: [
        {
          name: 'shop',
          requests: 91,
          ...traffic,
          servers: [{ name: 'n1', status: 'UP 2/3', check: 'L7OK', requests: 82, ...traffic }],
        },
      ],
    },
  );
  assert.deepEqual(stats.pools[1]?.servers, []);
});
