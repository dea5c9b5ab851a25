-- Asks for one path under several host names in turn; ends with one line of JSON. See wrk.ts.
local requests, turn = {}, 0

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
