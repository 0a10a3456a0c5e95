// The official TypeScript clients: the SDK of the older eras, and the client that came after it.
import assert from "node:assert/strict";
import * as newer from "@modelcontextprotocol/client";
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
