// A client by the TypeScript SDK that does what it is told.
//
// node client.cjs URL legacy|modern|auto|v1, with a bearer token in TOKEN if there is one; v1 is the SDK before its version 2. Each
// line on stdin is a wish, each line on stdout an answer, as gateway/tests/sdk/client.rs writes and reads them.

const readline = require('node:readline');

const [url, mode] = process.argv.slice(2);

function sdk() {
    if (mode === 'v1') {
        return {
            ...require('@modelcontextprotocol/sdk/client/index.js'),
            ...require('@modelcontextprotocol/sdk/client/streamableHttp.js'),
        };
    }
    return require('@modelcontextprotocol/client');
}

const { Client, StreamableHTTPClientTransport } = sdk();

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const text = (result) => result.content.map((part) => part.text ?? '').join('');

// The old SDK takes a schema of the result before the options.
function call(client, wish, options) {
    const params = { name: wish.name, arguments: wish.arguments };
    return mode === 'v1' ? client.callTool(params, undefined, options) : client.callTool(params, options);
}

const wishes = {
    async list(client) {
        const tools = [];
        let cursor;
        do {
            const page = await client.listTools({ cursor }, { cacheMode: 'refresh' });
            tools.push(...page.tools.map((tool) => tool.name));
            cursor = page.nextCursor;
        } while (cursor !== undefined);
        return { tools };
    },
    async call(client, wish) {
        const result = await call(client, wish, {});
        return { text: text(result), failed: Boolean(result.isError) };
    },
    async progress(client, wish) {
        let progress = 0;
        const onprogress = () => { progress += 1; };
        const result = await call(client, wish, { onprogress });
        return { text: text(result), failed: Boolean(result.isError), progress };
    },
    // Cancels as soon as the server is seen to work.
    async cancel(client, wish) {
        const stop = new AbortController();
        try {
            await call(client, wish, { onprogress: () => stop.abort('enough'), signal: stop.signal });
        } catch (error) {
            if (stop.signal.aborted) return { cancelled: true };
            throw error;
        }
        return { cancelled: false };
    },
};

async function main() {
    const token = process.env.TOKEN;
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const negotiation = { mode: mode === 'modern' ? { pin: '2026-07-28' } : mode };
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: negotiation });
    const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
    await client.connect(transport);
    say({ version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion });
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const wish = JSON.parse(line);
        try {
            say(await wishes[wish.do](client, wish));
        } catch (error) {
            if (typeof error.code !== 'number') throw error;
            say({ error: { code: error.code, message: error.message, data: error.data } });
        }
    }
    await client.close();
}

main().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
});
