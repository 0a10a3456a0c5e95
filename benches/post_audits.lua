-- wrk: posts remediation audits, each with its own content. Four audits belong to one remediation request.
-- Arguments: the token and a name that is new in every run.
local counter, thread_number = 0, 0
local token, run

function setup(thread)
   thread:set("number", thread_number)
   thread_number = thread_number + 1
end

function init(args)
   token, run = args[1], args[2]
   wrk.headers["Authorization"] = "Bearer " .. token
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   counter = counter + 1
   local incident = math.floor(counter / 4)
   local body = string.format(
      '{"remediationRequestID":"rr-%s-%d-%d","alertName":"Alert%d","namespace":"ns-%d","cluster":"cluster-%d","priority":"P%d",' ..
      '"actionType":"action-%d","status":"completed","confidence":0.9,"reasoning":"memory of the pods is high",' ..
      '"duration":%d,"createdAt":"%s"}',
      run, number, incident, incident % 40, incident % 20, incident % 4, incident % 4, incident % 8, counter * 1000000,
      os.date("!%Y-%m-%dT%H:%M:%SZ"))
   return wrk.format("POST", "/api/v1/audit/remediation", nil, body)
end

function done(summary, latency, requests)
   io.write(string.format("RESULT %.1f %d %d %d %d\n", summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(99), summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
