"""A server by the Python SDK: python server.py http PORT | stdio.

Its tools are those of server.cjs and of the server by the Rust SDK.
"""

import sys

import anyio
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("python")
cancelled = 0


@server.tool(name="add")
def add(a: int, b: int) -> str:
    "Adds two numbers."
    return str(a + b)


@server.tool(name="count")
async def count(steps: int, context: Context) -> str:
    "Counts slowly, and tells how far it is."
    global cancelled
    try:
        for step in range(steps):
            await context.report_progress(step, steps)
            await anyio.sleep(0.05)
    except anyio.get_cancelled_exc_class():
        cancelled += 1
        raise
    return f"counted to {steps}"


@server.tool(name="cancelled")
def how_many() -> str:
    "How many counts were cancelled."
    return str(cancelled)


if sys.argv[1] == "stdio":
    server.run(transport="stdio")
else:
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
