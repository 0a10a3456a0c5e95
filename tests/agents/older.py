"""The official Python client of the older eras, as HolmesGPT uses it: a new session for every call, text blocks only."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

URL = sys.argv[1]


async def call(tool: str, **arguments) -> dict:
    async with streamablehttp_client(URL) as (read, write, _), ClientSession(read, write) as session:
        started = await session.initialize()
        assert started.protocolVersion == "2025-11-25", started
        answer = await session.call_tool(tool, arguments)
        assert not answer.isError, answer
        assert [block.type for block in answer.content] == ["text"], answer
        return json.loads(answer.content[0].text)


async def main() -> None:
    async with streamablehttp_client(URL) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        await session.send_ping()
        tools = (await session.list_tools()).tools
        assert len(tools) == 7 and all(tool.annotations.readOnlyHint for tool in tools), tools
        wrong = await session.call_tool("get_incident", {"incident_id": 0})
        assert wrong.isError and "incident_id" in wrong.content[0].text, wrong
    me = await call("whoami")
    assert me["stored"]["incidents"] >= 500, me
    found = await call("search_similar_incidents", query="container keeps exiting with code 137 after it starts")
    assert found["hits"] and found["worked"], found
    print("older: whoami, tools, errors and a search")


asyncio.run(main())
