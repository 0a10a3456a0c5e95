// A client of the Data Storage Service with fetch alone, for Node.js 20 or later.
//
//     DATA_STORAGE_URL=http://127.0.0.1:8080 DATA_STORAGE_TOKEN=... node client.ts
//
// (Node.js 24 runs TypeScript as it is; for older ones `npx tsc --target es2022 --module es2022 client.ts` makes client.js.)
// Posts what a remediation did, reads the incident back, looks for others like it, and asks what has worked.

// So that no package with Node's types is needed.
declare const process: { env: Record<string, string | undefined>; exitCode: number };

const TRIES = 5;
const TIMEOUT_MS = 10_000;

interface RemediationAudit {
  remediationRequestID: string;
  alertName: string;
  namespace: string;
  cluster: string;
  severity?: "critical" | "high" | "medium" | "low";
  actionType?: string;
  targetResource?: string;
  status?: string;
  durationMs?: number;
  reasoning?: string;
  createdAt?: string;
}

interface Incident {
  id: number;
  remediation_request_id: string;
  execution_status: string;
  /** In milliseconds. */
  duration: number | null;
}

interface Page {
  data: Incident[];
  pagination: { has_more: boolean; next_cursor: string | null };
}

interface Similar {
  data: (Incident & { score: number; outcome: string })[];
  summary: { worked: { action_type: string }[] };
}

interface SuccessRate {
  alert_name: string;
  action_type: string | null;
  n: number;
  success_rate: number | null;
  insufficient_data: boolean;
}

/** What the service refused, in its own words (RFC 9457). */
class DataStorageError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(`${status} ${text}`);
    this.status = status;
  }
}

class DataStorage {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** The audit's id, once it is committed, and whether the service had it already. */
  async postRemediation(audit: RemediationAudit): Promise<{ id: string; known: boolean }> {
    const answer = await this.#send("/api/v1/audit/remediation", audit);
    const { auditID } = (await answer.json()) as { auditID: string };
    return { id: auditID, known: answer.headers.get("Idempotent-Replayed") === "true" };
  }

  /** All incidents that fit, newest first. A walk by cursor meets each once, however many are posted meanwhile. */
  async *incidents(filters: Record<string, string>): AsyncGenerator<Incident> {
    const query = new URLSearchParams({ ...filters, limit: "100", total: "false" });
    for (;;) {
      const page = await this.#read<Page>(`/api/v1/incidents?${query}`);
      yield* page.data;
      if (page.pagination.next_cursor === null) return;
      query.set("cursor", page.pagination.next_cursor);
    }
  }

  incident(id: number): Promise<Incident & { audits: unknown[] }> {
    return this.#read(`/api/v1/incidents/${id}`);
  }

  /** Incidents like this text, best first, and what worked in them. */
  search(query: string, filters: Record<string, string>): Promise<Similar> {
    return this.#read("/api/v1/incidents/search", { query, filters, limit: 5 });
  }

  async successRates(...groupBy: string[]): Promise<SuccessRate[]> {
    const query = new URLSearchParams({ group_by: groupBy.join(",") });
    return (await this.#read<{ data: SuccessRate[] }>(`/api/v1/stats/success-rate?${query}`)).data;
  }

  async #read<T>(path: string, body?: unknown): Promise<T> {
    return (await (await this.#send(path, body)).json()) as T;
  }

  /**
   * Tries again what may succeed later. A write that was committed before its answer was lost is not written twice: the same content
   * is the same audit, and the service answers with the id that it has.
   */
  async #send(path: string, body?: unknown): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      let pause = (0.5 + Math.random() / 2) * 100 * 2 ** attempt;
      try {
        const answer = await fetch(new URL(path, this.#url), {
          method: body === undefined ? "GET" : "POST",
          headers: { Authorization: `Bearer ${this.#token}`, "Content-Type": "application/json" },
          body: body === undefined ? null : JSON.stringify(body),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        if (answer.ok) return answer;
        const failure = new DataStorageError(answer.status, await answer.text());
        if (![429, 503].includes(answer.status) || attempt === TRIES) throw failure;
        pause = Math.max(pause, 1000 * Number(answer.headers.get("Retry-After") ?? 0));
      } catch (error) {
        // Anything else that fetch throws is a connection that was refused, cut off or too slow.
        if (error instanceof DataStorageError || attempt === TRIES) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

async function main(): Promise<void> {
  const token = process.env.DATA_STORAGE_TOKEN;
  if (token === undefined) throw new Error("DATA_STORAGE_TOKEN is not set");
  const service = new DataStorage(process.env.DATA_STORAGE_URL ?? "http://127.0.0.1:8080", token);

  const request = `rr-typescript-${Date.now()}`;
  const { id, known } = await service.postRemediation({
    remediationRequestID: request,
    alertName: "HighMemoryUsage",
    namespace: "production",
    cluster: "us-west-2",
    severity: "high",
    actionType: "scale",
    targetResource: "deployment/web",
    status: "completed",
    durationMs: 4200,
    reasoning: "Memory grows with the request rate; more replicas spread the load.",
    // Part of the content: made once, before the first try, so that each try posts the same audit.
    createdAt: new Date().toISOString(),
  });
  console.log(`audit ${id} ${known ? "was there already" : "is persisted"}`);

  let count = 0;
  let found: Incident | undefined;
  for await (const incident of service.incidents({ alert_name: "HighMemoryUsage", namespace: "production" })) {
    count += 1;
    if (incident.remediation_request_id === request) found = incident;
  }
  console.log(`${count} incidents of HighMemoryUsage in production`);

  if (found === undefined) throw new Error("the incident is not in the list");
  const incident = await service.incident(found.id);
  console.log(
    `incident ${incident.id}: ${incident.execution_status} after ${incident.duration} ms, ${incident.audits.length} audit`,
  );

  const similar = await service.search("pods run out of memory", { cluster: "us-west-2" });
  for (const hit of similar.data) {
    console.log(`similar: incident ${hit.id}, score ${hit.score.toFixed(2)}, ${hit.outcome}`);
  }
  for (const action of similar.summary.worked) console.log(`worked: ${action.action_type}`);

  for (const group of await service.successRates("alert_name", "action_type")) {
    const few = group.insufficient_data || group.success_rate === null;
    const rate = few ? "too few to say" : `${Math.round(100 * Number(group.success_rate))} % worked`;
    console.log(`${group.alert_name} with ${group.action_type}, ${group.n} times: ${rate}`);
  }
}

main().catch((error: unknown) => {
  console.error(String(error));
  process.exitCode = 1;
});
