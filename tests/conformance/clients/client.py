"""A client by the Python SDK that does what it is told.

python client.py URL legacy|modern|auto, with a bearer token in TOKEN if there is one. Each line on stdin is a wish, each line on
stdout an answer, as gateway/tests/sdk/client.rs writes and reads them.
"""

import json
import os
import sys

import anyio
import anyio.to_thread
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

MODES = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}


def say(answer):
    print(json.dumps(answer), flush=True)


def text(result):
    return "".join(getattr(part, "text", "") for part in result.content)


async def call(client, wish):
    result = await client.call_tool(wish["name"], wish["arguments"])
    return {"text": text(result), "failed": bool(result.is_error)}


async def progress(client, wish):
    seen = []

    async def note(value, total, message):
        seen.append(value)

    result = await client.call_tool(wish["name"], wish["arguments"], progress_callback=note)
    return {"text": text(result), "failed": bool(result.is_error), "progress": len(seen)}


async def cancel(client, wish):
    """Cancels as soon as the server is seen to work."""
    with anyio.CancelScope() as scope:

        async def note(value, total, message):
            scope.cancel()

        await client.call_tool(wish["name"], wish["arguments"], progress_callback=note)
    return {"cancelled": scope.cancelled_caught}


async def listing(client, wish):
    tools = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        tools += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return {"tools": tools}


WISHES = {"list": listing, "call": call, "progress": progress, "cancel": cancel}


async def main():
    url, mode = sys.argv[1:]
    token = os.environ.get("TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=MODES[mode]) as client:
            say({"version": client.protocol_version})
            while line := await anyio.to_thread.run_sync(sys.stdin.readline):
                wish = json.loads(line)
                try:
                    say(await WISHES[wish["do"]](client, wish))
                except MCPError as error:
                    say({"error": {"code": error.code, "message": error.message, "data": error.data}})


anyio.run(main)
