// An authorization server for the gateway's tests: oidc-provider with client credentials (RFC 6749, 4.4), resource
// indicators (RFC 8707) and signed access tokens (RFC 9068).
//
// PORT is where it listens, on loopback; KEYS begins the ids of its keys, which are made anew with every start. A client
// named like an algorithm gets tokens signed with it. MODULES is the folder with node_modules.

import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.MODULES}/package.json`);
const { default: Provider } = await import(require.resolve('oidc-provider'));

const port = Number(process.env.PORT);
const prefix = process.env.KEYS ?? 'first';
const kinds = {
  RS: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  ES384: ['ec', { namedCurve: 'P-384' }],
  EdDSA: ['ed25519', {}],
};
const keys = Object.entries(kinds).map(([name, [type, options]]) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  kid: `${prefix}-${name}`,
  use: 'sig',
}));
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'];

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  clients: algorithms.map((name) => ({
    client_id: name,
    client_secret: 'a secret of the tests',
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  scopes: ['mcp:use', 'mcp:sum'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource, client) => ({
        scope: 'mcp:use mcp:sum',
        audience: resource,
        accessTokenTTL: Number(process.env.LIFE ?? 600),
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: client.clientId } },
      }),
    },
  },
  enabledJWA: {
    userinfoSigningAlgValues: algorithms,
    idTokenSigningAlgValues: algorithms,
  },
  extraTokenClaims: () => ({ team: 'blue', bot: 'agent-7' }),
});
provider.listen(port, '127.0.0.1', () => console.log('listening'));
