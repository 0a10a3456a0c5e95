-- wrk: posts remediation audits of which each says something of its own: four sentences, drawn from many.
-- Arguments: the token, a name that is new in every run, the file of sentences.
local counter, thread_number = 0, 0
local token, run
local sentences = {}
local actions = {"scale", "restart", "rollback", "drain"}

function setup(thread)
   thread:set("number", thread_number)
   thread_number = thread_number + 1
end

function init(args)
   token, run = args[1], args[2]
   for line in io.lines(args[3]) do sentences[#sentences + 1] = line:gsub('[\\"]', "") end
   wrk.headers["Authorization"] = "Bearer " .. token
   wrk.headers["Content-Type"] = "application/json"
   math.randomseed(os.time() + 7 * number)
end

function request()
   counter = counter + 1
   local told = {}
   for n = 1, 4 do told[n] = sentences[math.random(#sentences)] end
   local body = string.format(
      '{"remediationRequestID":"rr-%s-%d-%d","alertName":"Alert%d","namespace":"ns-%d","cluster":"cluster-%d","actionType":"%s",' ..
      '"status":"%s","reasoning":"%s","createdAt":"%s"}',
      run, number, counter, math.random(100), math.random(50), math.random(4), actions[math.random(4)],
      math.random(4) == 1 and "failed" or "completed", table.concat(told, " "),
      os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - math.random(8000000)))
   return wrk.format("POST", "/api/v1/audit/remediation", nil, body)
end

function done(summary, latency, requests)
   io.write(string.format("RESULT %.1f %d %d %d %d\n", summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(99), summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
