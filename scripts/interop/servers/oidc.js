// A strict OpenID provider (oidc-provider), and an MCP server on another origin that accepts the provider's tokens. At /mcp, the MCP server
// introspects opaque tokens. At /jwt/mcp, the MCP server accepts signed tokens.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import express from 'express';
import Provider, { errors } from 'oidc-provider';

import { listen } from './listen.js';
import { mcpRoutes } from './resource.js';
import { scopes } from './notes.js';

// The client ID metadata document. The host of its URL does not exist, so the provider reads the document from its configuration.
export const documentURL = 'https://client.example/mcpauth.json';

const key = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const jwk = (k) => ({ ...k.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' });

const loopback = {
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};

// Characters that must be form-encoded for HTTP Basic (RFC 6749 §2.3.1).
const confidential = { id: 'notes:client', secret: 'p+%/:& ~=' };

// requirePAR: the provider accepts only pushed authorization requests. clients and grants are additional clients and grant types.
export async function startOIDC({ ports = [0, 0], requirePAR = false, clients = [], grants = () => {} } = {}) {
  const auth = await listen(ports[1]);
  const mcp = await listen(ports[0]);
  const machineKey = key();
  const introspector = { id: 'notes-server', secret: randomBytes(16).toString('hex') };
  const state = {
    ttl: 600, // lifetime of access tokens in seconds
    requirePAR,
    opened: 0, // number of authorization requests from a browser
    pushed: 0, // number of pushed authorization requests (RFC 9126)
    seen: [], // token requests that succeeded: { grant, client, answer }
    issuer: auth.origin,
    url: `${mcp.origin}/mcp`,
    jwtURL: `${mcp.origin}/jwt/mcp`,
    machineKey: machineKey.export({ type: 'pkcs8', format: 'pem' }),
    confidential, // a pre-registered client with a secret
    answering: undefined, // called with each response of the token endpoint before it is sent
    close: () => [auth, mcp].forEach((l) => l.close()),
  };

  const provider = new Provider(auth.origin, {
    clients: [
      ...clients,
      machineClient(machineKey),
      { ...loopback, client_id: confidential.id, client_secret: confidential.secret, token_endpoint_auth_method: 'client_secret_basic' },
      { client_id: introspector.id, client_secret: introspector.secret, redirect_uris: [], response_types: [], grant_types: [] },
    ],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    jwks: { keys: [jwk(key())] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: ['none', 'client_secret_basic', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['ES256'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { AccessToken: () => state.ttl, ClientCredentials: () => state.ttl, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
    fetch: fetchDocument,
    features: features(state),
  });
  grants(provider, state);
  provider.on('grant.success', (ctx) => {
    state.seen.push({ grant: ctx.oidc.params.grant_type, client: ctx.oidc.client.clientId, answer: ctx.body });
  });
  provider.use(async (ctx, next) => {
    if (ctx.path === '/auth') state.opened++;
    if (ctx.path === '/request') state.pushed++;
    await next();
    if (ctx.path === '/token') await state.answering?.(ctx);
  });
  state.provider = provider;
  auth.serve(provider.callback());

  const app = express();
  for (const [path, url] of [['/mcp', state.url], ['/jwt/mcp', state.jwtURL]]) {
    mcpRoutes(app, { path, url, issuer: auth.origin, introspector, signed: url === state.jwtURL });
  }
  mcp.serve(app);
  return state;
}

// machineClient authenticates with a private key and needs no browser.
function machineClient(k) {
  return {
    client_id: 'machine',
    token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    jwks: { keys: [publicJWK(k)] },
  };
}

function publicJWK(k) {
  const { d, ...rest } = jwk(k);
  return rest;
}

function features(state) {
  const on = { enabled: true };
  return {
    devInteractions: on,
    registration: on,
    registrationManagement: on,
    revocation: on,
    introspection: on,
    deviceFlow: on,
    clientCredentials: on,
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: state.requirePAR },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo(ctx, resource) {
        const known = { [state.url]: 'opaque', [state.jwtURL]: 'jwt' };
        if (!known[resource]) throw new errors.InvalidTarget();
        return {
          scope: scopes.join(' '),
          audience: resource,
          accessTokenTTL: state.ttl,
          accessTokenFormat: known[resource],
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  };
}

// fetchDocument returns the client ID metadata document, and fails for any other host.
async function fetchDocument(url) {
  if (String(url) !== documentURL) throw new Error(`no way to ${url}`);
  return Response.json({ ...loopback, client_id: documentURL, client_name: 'mcpauth', token_endpoint_auth_method: 'none' });
}
