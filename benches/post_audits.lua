-- wrk: posts remediation audits, each with its own content and the time of its second, of 5,000 combinations of alert and namespace.
-- Arguments: the token, a name that is new in every run, and the kind of load (docs/performance.md, "The load"):
--   open    opens the 10,000 incidents of the run
--   new     every audit opens an incident
--   later   every audit is a later one of an incident that `open` has opened, in random order, and changes its status
--   mixed   one in four opens an incident, the others go to one of the last 10,000 that this run has opened
local OPEN = 10000
local thread_count = 0
local token, run, kind
local counter, opened = 0, 0
local reported = {}

function setup(thread)
   thread:set("number", thread_count)
   thread_count = thread_count + 1
end

function init(args)
   token, run, kind = args[1], args[2], args[3]
   math.randomseed(os.time() + number * 7919)
   wrk.headers["Authorization"] = "Bearer " .. token
   wrk.headers["Content-Type"] = "application/json"
end

local function audit(incident, more)
   local combination = incident * 7 % 5000
   local alert, namespace = combination % 50, math.floor(combination / 50)
   local body = string.format(
      '{"remediationRequestID":"rr-%s-%d-%d","alertName":"Alert%d","namespace":"ns-%d","cluster":"cluster-%d","priority":"P%d",' ..
      '"confidence":0.9,"reasoning":"memory of the pods is high","createdAt":"%s"%s}',
      run, kind == "mixed" and number or 0, incident, alert, namespace, namespace % 4, alert % 4, os.date("!%Y-%m-%dT%H:%M:%SZ"), more)
   return wrk.format("POST", "/api/v1/audit/remediation", nil, body)
end

local function opening(incident)
   return audit(incident, string.format(',"actionType":"action-%d"', incident % 8))
end

local function later(incident)
   -- The first report says that it began; the later ones are final, and each corrects the one before.
   local turn = (reported[incident] or 0) + 1
   reported[incident] = turn
   local status = turn == 1 and "executing" or (turn % 2 == 0 and "completed" or "failed")
   return audit(incident, string.format(',"status":"%s","duration":%d', status, (counter * 64 + number) * 1000000))
end

function request()
   counter = counter + 1
   if kind == "open" then
      return opening(counter * 2 + number > OPEN and OPEN + number or counter * 2 + number)
   elseif kind == "new" then
      return opening(counter * 64 + number)
   elseif kind == "later" then
      -- Each thread has incidents of its own, so that it knows what it has reported of them.
      return later(math.random(2, math.floor(OPEN / 2)) * 2 + number)
   elseif opened == 0 or math.random(4) == 1 then
      opened = opened + 1
      return opening(opened)
   end
   return later(math.random(math.max(1, opened - OPEN), opened))
end

function done(summary, latency, requests)
   io.write(string.format("RESULT %.1f %d %d %d %d\n", summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(99), summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
