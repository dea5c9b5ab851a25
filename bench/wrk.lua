-- Asks for one path under several host names in turn; ends with one line of JSON. See wrk.ts.
-- ESPALIER_BENCH_ORIGINS (`10.0.0.2:80 10.0.0.3:80`): each thread has the next of them.
local requests, turn = {}, 0
local origins, threads = {}, 0
for host, port in (os.getenv('ESPALIER_BENCH_ORIGINS') or ''):gmatch('(%S+):(%d+)') do
  origins[#origins + 1] = { host = host, port = port }
end

function setup(thread)
  threads = threads + 1
  local origin = origins[(threads - 1) % #origins + 1]
  thread.addr = wrk.lookup(origin.host, origin.port)[1]
end

function init(args)
  for i = 2, #args do
    requests[#requests + 1] = wrk.format('GET', args[1], { Host = args[i] })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
