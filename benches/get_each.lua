-- wrk: asks for another page with every request, so that no request can share another's execution.
-- Argument, if any: the coding of the answers.
local counter, thread_number = 0, 0

function setup(thread)
   thread:set("number", thread_number)
   thread_number = thread_number + 1
end

function init(args)
   if args[1] then wrk.headers["Accept-Encoding"] = args[1] end
end

function request()
   counter = counter + 1
   return wrk.format("GET", string.format("%s&until=2027-01-%02dT00:%02d:%02d.%06dZ", wrk.path, number + 1,
      math.floor(counter / 60) % 60, counter % 60, counter % 1000000))
end

function done(summary, latency, requests)
   io.write(string.format("RESULT %.1f %d %d %d %d\n", summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(99), summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
