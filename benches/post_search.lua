-- wrk: searches for failures and fixes in other words than the audits use. Arguments: the file of alert families, the filters as JSON.
local queries, filters = {}, "{}"

function init(args)
   for line in io.lines(args[1]) do
      local failure, fix = line:match("^[^#\t][^\t]*\t[^\t]*\t([^\t]*)\t([^\t]*)")
      if failure then
         queries[#queries + 1] = failure
         queries[#queries + 1] = fix
      end
   end
   filters = args[2]
   wrk.headers["Content-Type"] = "application/json"
end

local counter = 0

function request()
   counter = counter + 1
   return wrk.format("POST", "/api/v1/incidents/search", nil,
      string.format('{"query":"%s","filters":%s}', queries[counter % #queries + 1], filters))
end

function done(summary, latency, requests)
   io.write(string.format("RESULT %.1f %d %d %d %d\n", summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(99), summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
