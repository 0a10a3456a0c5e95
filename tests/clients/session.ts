// A session with the types that openapi-typescript makes: writes, a walk by cursor, an incident, a search, statistics.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [base, token] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${token}` } });
const count = 25;

function known<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

function check(holds: boolean, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

for (let n = 0; n < count; n += 1) {
  const body = {
    remediationRequestID: `ts-${n}`, alertName: "TypeScriptAlert", namespace: "shop", cluster: "c-1", severity: "high",
    status: "completed", actionType: "scale", reasoning: "requests are slow", durationMs: 1500,
  };
  check(known(await client.POST("/api/v1/audit/remediation", { body })).status === "persisted", n);
}
const seen: number[] = [];
let cursor: string | null | undefined;
do {
  const query = { alert_name: ["TypeScriptAlert"], limit: 10, offset: 0, since: "1h", ...(cursor ? { cursor } : {}) };
  const page = known(await client.GET("/api/v1/incidents", { params: { query } }));
  check(page.pagination.total === count, page.pagination);
  seen.push(...page.data.map((incident) => incident.id));
  cursor = page.pagination.next_cursor;
} while (cursor);
check(new Set(seen).size === count && seen.length === count, seen);
const incident = known(await client.GET("/api/v1/incidents/{id}", { params: { path: { id: seen[0]! } } }));
check(incident.conflicts.length === 0 && incident.audits[0]?.type === "remediation", incident);
const rates = known(await client.GET("/api/v1/stats/success-rate", { params: { query: { group_by: "alert_name,day", alert_name: ["TypeScriptAlert"] } } }));
check(rates.data.reduce((sum, group) => sum + group.n, 0) === count, rates);
const found = known(await client.POST("/api/v1/incidents/search", { body: { query: "slow requests" } as never }));
check(found.coverage.incidents >= count, found.coverage);
console.log("typescript: ok");
