-- wrk: posts remediation audits as analyses write them: many near-copies of few failures, with names and numbers of their own.
-- Arguments: the token, a name that is new in every run, the file of alert families, how many applications there are.
local counter, thread_number = 0, 0
local token, run, applications
local families = {}

function setup(thread)
   thread:set("number", thread_number)
   thread_number = thread_number + 1
end

function init(args)
   token, run, applications = args[1], args[2], tonumber(args[4])
   for line in io.lines(args[3]) do
      local name, told = line:match("^([^#\t][^\t]*)\t([^\t]*)")
      if name then families[#families + 1] = {name, told} end
   end
   wrk.headers["Authorization"] = "Bearer " .. token
   wrk.headers["Content-Type"] = "application/json"
   math.randomseed(number + 7)
end

local statuses, actions = {"completed", "completed", "failed", "executing"}, {"scale", "restart", "rollback", "expand"}

function request()
   counter = counter + 1
   -- A few failures make most of the audits.
   local family = families[math.ceil(#families * math.random() ^ 3)] or families[1]
   local application = math.random(applications)
   local body = string.format(
      '{"remediationRequestID":"rr-%s-%d-%d","alertName":"%s","namespace":"ns-%d","cluster":"cluster-%d","priority":"P%d",' ..
      '"actionType":"%s","status":"%s","targetResource":"deployment/app%s","confidence":0.9,' ..
      '"reasoning":"%s Affected: application%s-%x-%05d, seen %d times.","executedAt":"%s","createdAt":"%s"}',
      run, number, counter, family[1], application % 50, application % 4, counter % 4, actions[math.random(4)], statuses[math.random(4)],
      string.char(97 + application % 26, 97 + math.floor(application / 26) % 26), family[2],
      string.char(97 + application % 26, 97 + math.floor(application / 26) % 26), math.random(4294967295), math.random(99999), counter,
      os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - math.random(8000000)), os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - math.random(8000000)))
   return wrk.format("POST", "/api/v1/audit/remediation", nil, body)
end

function done(summary, latency, requests)
   io.write(string.format("RESULT %.1f %d %d %d %d\n", summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(99), summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
