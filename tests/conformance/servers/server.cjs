// A server by the TypeScript SDK, version 2: node server.cjs http PORT.
//
// Its tools are those of server.py and of the server by the Rust SDK.

const { createServer } = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const { McpServer, createMcpHandler, fromJsonSchema } = require('@modelcontextprotocol/server');
const { localhostHostValidation, localhostOriginValidation, toNodeHandler } = require('@modelcontextprotocol/node');

const [, port] = process.argv.slice(2);
let cancelled = 0;

const text = (text) => ({ content: [{ type: 'text', text: String(text) }] });
const integers = (...names) => fromJsonSchema({
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, { type: 'integer' }])),
    required: names,
});

async function count({ steps }, context) {
    const { signal, notify } = context.mcpReq;
    const progressToken = context.mcpReq._meta?.progressToken;
    for (let step = 0; step < steps; step += 1) {
        if (signal.aborted) {
            cancelled += 1;
            break;
        }
        if (progressToken !== undefined) {
            await notify({ method: 'notifications/progress', params: { progressToken, progress: step, total: steps } }).catch(() => {});
        }
        await sleep(50);
    }
    return text(`counted to ${steps}`);
}

function make() {
    const server = new McpServer({ name: 'typescript', version: '1' });
    server.registerTool('add', { description: 'Adds two numbers.', inputSchema: integers('a', 'b') }, async ({ a, b }) => text(a + b));
    server.registerTool('count', { description: 'Counts slowly, and tells how far it is.', inputSchema: integers('steps') }, count);
    server.registerTool('cancelled', { description: 'How many counts were cancelled.', inputSchema: integers() }, async () => text(cancelled));
    return server;
}

const handle = toNodeHandler(createMcpHandler(make));
const [hostIsLocal, originIsLocal] = [localhostHostValidation(), localhostOriginValidation()];
createServer((request, response) => {
    if (hostIsLocal(request, response) && originIsLocal(request, response)) handle(request, response);
}).listen(Number(port), '127.0.0.1');
