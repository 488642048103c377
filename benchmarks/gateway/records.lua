-- Every request asks about another record: 30 numbers from a counter, its thread's number and the run's.
local features = 30
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
function init(args)
  run = tonumber(args[1]) or 0
  token = args[2] or ""
  counter = 0
  errors = 0
end
function request()
  counter = counter + 1
  local values = { number, run, counter % 1000, math.floor(counter / 1000) }
  for place = 5, features do values[place] = ((counter * place) % 17) / 16 end
  local body = '{"inputs":[{"name":"input","shape":[1,' .. features .. '],"datatype":"FP64","data":[' ..
    table.concat(values, ",") .. ']}]}'
  return wrk.format("POST", "/v2/models/model/infer",
    { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. token }, body)
end
function response(status)
  if status ~= 200 then errors = errors + 1 end
end
function done(summary, latency)
  io.write(string.format(
    "RESULT {\"requests\": %d, \"seconds\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"failed\": %d}\n",
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
