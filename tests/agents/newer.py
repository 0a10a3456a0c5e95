"""The official Python client of both eras answers "this alert again: what did we do last time, did it hold, and what should I not
repeat?", in three calls and 6,000 tokens: those that docs/agents.md shows. `--record FILE` writes the answers down.

usage: newer.py URL docs/agents.md [--record FILE]
"""

import asyncio
import json
import re
import sys
from pathlib import Path

from mcp.client import Client

URL, PAGE = sys.argv[1], Path(sys.argv[2]).read_text()
RECORD = sys.argv[4] if sys.argv[3:4] == ["--record"] else None


def shown() -> list:
    """The calls of the page, and their answers: each a line `tool {arguments}` in a block of its own, and a block of JSON."""
    turns = re.findall(r"```text\n(\w+) (\{.*?\})\n```.*?```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert len(turns) == 3, "the page has three calls"
    return [(tool, json.loads(arguments), json.loads(answer)) for tool, arguments, answer in turns]


def shape(value):
    """The names of an answer's fields, and nothing of what they hold."""
    if isinstance(value, dict):
        return {name: shape(value) for name, value in value.items() if name not in ("untrusted", "outcomes")}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


async def conversation(mode: str) -> list:
    said = []
    async with Client(URL, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert len(tools) == 7, tools
        incident = None
        for tool, arguments, answer in shown():
            assert set(arguments) <= set(tools[tool].input_schema["properties"]), arguments
            if "incident_id" in arguments:
                arguments["incident_id"] = incident
            got = await client.call_tool(tool, arguments)
            assert not got.is_error, got
            text = got.content[0].text
            told = json.loads(text)
            assert told == got.structured_content
            assert set(shape(told)) == set(shape(answer)), (shape(told), shape(answer))
            if tool == "search_similar_incidents":
                incident = told["hits"][0]["incident_id"]
                assert "increase_memory_limit" in [action["untrusted"]["action_type"] for action in told["worked"]], told
            if tool == "get_history":
                assert {attempt["outcome"] for attempt in told["attempts"]} & {"completed", "recurred", "failed", "rolled_back"}, told
            said.append({"tool": tool, "arguments": arguments, "answer": told, "bytes": len(text.encode())})
        tokens = sum(turn["bytes"] for turn in said) / 4
        assert len(said) <= 3 and tokens <= 6000, tokens
        refused = await client.call_tool("get_history", {"target": "deployment/web", "limit": 1000})
        assert refused.is_error and "limit" in refused.content[0].text, refused
        print(f"{mode}: {len(said)} calls, {tokens:.0f} tokens")
    return said


for mode in ["auto", "2026-07-28", "legacy"]:
    conversed = asyncio.run(conversation(mode))
if RECORD:
    Path(RECORD).write_text(json.dumps(conversed, indent=1))
