"""The official Python client of both eras answers "this alert again: what did we do last time, did it hold, and what should I not
repeat?", in three calls and 6,000 tokens. `--record FILE` writes the conversation down."""

import asyncio
import json
import sys

from mcp.client import Client

URL = sys.argv[1]
RECORD = sys.argv[3] if len(sys.argv) > 3 else None
ALERT = {"alert_name": "KubePodCrashLooping", "namespace": "production"}


async def conversation(mode: str) -> list:
    said = []
    async with Client(URL, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert len(tools) == 7, tools

        async def call(tool: str, **arguments) -> dict:
            assert set(arguments) <= set(tools[tool].input_schema["properties"]), arguments
            answer = await client.call_tool(tool, arguments)
            assert not answer.is_error, answer
            text = answer.content[0].text
            assert json.loads(text) == answer.structured_content
            said.append({"tool": tool, "arguments": arguments, "answer": json.loads(text), "bytes": len(text.encode())})
            return json.loads(text)

        found = await call("search_similar_incidents", query="checkout exits with code 137 after each start", max_tokens=2000, **ALERT)
        assert found["hits"][0]["untrusted"]["alert_name"] == ALERT["alert_name"], found
        history = await call("get_history", limit=10, max_tokens=2000, **ALERT)
        assert history["attempts"], history
        outcomes = {attempt["outcome"] for attempt in history["attempts"]}
        assert outcomes & {"completed", "recurred", "failed"}, outcomes
        worked = [action["untrusted"]["action_type"] for action in found["worked"]]
        assert "increase_memory_limit" in worked, found["worked"]
        last = history["attempts"][-1]["incident_id"]
        detail = await call("get_incident", incident_id=last, max_tokens=1000)
        assert detail["incident"][0]["incident_id"] == last, detail
        tokens = sum(turn["bytes"] for turn in said) / 4
        assert len(said) <= 3 and tokens <= 6000, tokens
        refused = await client.call_tool("get_history", {"target": "deployment/web", "limit": 1000})
        assert refused.is_error and "limit" in refused.content[0].text, refused
        print(f"{mode}: {len(said)} calls, {tokens:.0f} tokens")
    return said


for mode in ["auto", "2026-07-28", "legacy"]:
    conversed = asyncio.run(conversation(mode))
if RECORD:
    with open(RECORD, "w") as file:
        json.dump(conversed, file, indent=1)
