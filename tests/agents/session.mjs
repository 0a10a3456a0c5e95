// The official TypeScript clients: the SDK of the older eras, and the client that came after it.
import assert from "node:assert/strict";
import * as newer from "@modelcontextprotocol/client";
import { readFileSync } from "node:fs";
import YAML from "yaml";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const url = new URL(process.argv[2]);

async function session(name, client, transport) {
  await client.connect(transport);
  const { tools } = await client.listTools();
  assert.equal(tools.length, 7);
  const found = await client.callTool({
    name: "search_similar_incidents",
    arguments: { query: "the image tag is not in the registry", limit: 2 },
  });
  assert.equal(found.content.length, 1);
  const told = JSON.parse(found.content[0].text);
  assert.deepEqual(told, found.structuredContent);
  assert.equal(told.hits.length, 2);
  const wrong = await client.callTool({ name: "get_success_rate", arguments: { group_by: ["colour"] } });
  assert.equal(wrong.isError, true);
  await assert.rejects(client.callTool({ name: "erase", arguments: {} }));
  await client.close();
  console.log(`${name}: tools, a search and errors`);
}

await session("sdk", new Client({ name: "session", version: "1" }), new StreamableHTTPClientTransport(url));
await session("client", new newer.Client({ name: "session", version: "1" }), new newer.StreamableHTTPClientTransport(url));

// HolmesGPT's own file: where it leads, with what header.
const holmes = YAML.parse(readFileSync(process.argv[3], "utf8")).mcp_servers.data_storage.config;
assert.equal(holmes.mode, "streamable-http");
assert.equal(new URL(holmes.url).pathname, url.pathname);
const headers = { Authorization: holmes.headers.Authorization.replace(/\{\{ env\.(\w+) \}\}/, process.argv[5]) };
const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
const client = new Client({ name: "holmes", version: "1" });
await client.connect(transport);
const me = JSON.parse((await client.callTool({ name: "whoami", arguments: {} })).content[0].text);
assert.match(me.identity, /aianalysis-controller-sa$/);
await client.close();

// The paths of its HTTP connector are paths of the service.
const connector = YAML.parse(readFileSync(process.argv[4], "utf8")).toolsets["data-storage"].config;
const document = await (await fetch(new URL("/api/v1/incidents?limit=1", url))).json();
const known = { "/api/v1/incidents/*": `/api/v1/incidents/${document.data[0].id}`, "/api/v1/stats/*": "/api/v1/stats/success-rate", "/api/v1/audits/*": null };
for (const endpoint of connector.endpoints) {
  for (const path of endpoint.paths) {
    const real = path in known ? known[path] : path;
    if (real === null) continue;
    const post = endpoint.methods[0] === "POST";
    const body = post ? JSON.stringify({ query: "memory", limit: 5, collapse: "pattern", include: "text" }) : undefined;
    const answer = await fetch(new URL(real, url), { method: endpoint.methods[0], body, headers: { "Content-Type": "application/json" } });
    assert.equal(answer.status, 200, path);
  }
}
console.log("holmesgpt: both of its files lead to what is there");
