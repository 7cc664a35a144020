// A company with an identity provider (a strict oidc-provider) and the MCP server of oidc.js. The MCP server's authorization server trusts
// the identity provider. oidc-provider does not support ID-JAGs, so this module adds a grant that issues ID-JAGs and a grant that accepts
// ID-JAGs (RFC 7523). oidc-provider implements everything else: login, refresh token rotation, client authentication and revocation.

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { SignJWT, createLocalJWKSet, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

import { listen } from './listen.js';
import { scopes } from './notes.js';
import { startOIDC } from './oidc.js';

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const type = (name) => `urn:ietf:params:oauth:token-type:${name}`;

// The registrations of the client at the identity provider and at the authorization server.
const employee = { id: 'employee:app', secret: 'p+%/:& ~=' };
const office = 'office';

export async function startEnterprise() {
  const idp = await startProvider();
  const server = await startOIDC({ clients: [{ client_id: office, token_endpoint_auth_method: 'none', grant_types: [jwtBearer], redirect_uris: [], response_types: [] }],
    grants: (provider, state) => provider.registerGrantType(jwtBearer, takeIDJAG(provider, state, idp), ['assertion', 'scope', 'resource']) });
  idp.customer = server;
  const { close } = server;
  return Object.assign(server, { idp, employee, office, close: () => [close, idp.close].forEach((c) => c()) });
}

async function startProvider() {
  const { origin, serve, close } = await listen();
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const jwk = { ...key.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'idp' };
  const { d, ...open } = jwk;
  const state = { issuer: origin, close, opened: 0, seen: [], refused: [], keys: createLocalJWKSet({ keys: [open] }), customer: undefined };
  const provider = new Provider(origin, {
    clients: [{
      client_id: employee.id, client_secret: employee.secret, token_endpoint_auth_method: 'client_secret_basic', application_type: 'native',
      redirect_uris: ['http://127.0.0.1/callback'], response_types: ['code'], grant_types: ['authorization_code', 'refresh_token', tokenExchange],
    }],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    jwks: { keys: [jwk] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, IdToken: 600, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
    features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  });
  provider.registerGrantType(tokenExchange, makeIDJAG(provider, state, key),
    ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope']);
  provider.on('grant.success', (ctx) => state.seen.push({ grant: ctx.oidc.params.grant_type, type: ctx.oidc.params.subject_token_type, answer: ctx.body }));
  provider.on('grant.error', (ctx, err) => state.refused.push(err.error));
  provider.use(async (ctx, next) => {
    if (ctx.path === '/auth') state.opened++;
    await next();
    if (ctx.path === '/token' && state.hideIDToken && ctx.body) delete ctx.body.id_token;
  });
  serve(provider.callback());
  return Object.assign(state, { provider });
}

// makeIDJAG issues an ID-JAG for an ID token or a refresh token of this provider (Identity Assertion JWT Authorization Grant §4.3).
const makeIDJAG = (provider, state, key) => async (ctx) => {
  const { client, params } = ctx.oidc;
  if (params.requested_token_type !== type('id-jag')) throw new errors.InvalidRequest('requested_token_type');
  if (params.audience !== state.customer.issuer || params.resource !== state.customer.url) throw new errors.InvalidTarget();
  const subject = await subjectOf(provider, state, client, params);
  const jag = await new SignJWT({ client_id: office, resource: params.resource, scope: params.scope })
    .setProtectedHeader({ alg: 'ES256', typ: 'oauth-id-jag+jwt', kid: 'idp' })
    .setIssuer(state.issuer).setSubject(subject).setAudience(params.audience).setIssuedAt().setExpirationTime('5m').setJti(randomUUID()).sign(key);
  ctx.body = { issued_token_type: type('id-jag'), access_token: jag, token_type: 'N_A', expires_in: 300, scope: params.scope };
};

async function subjectOf(provider, state, client, { subject_token: token, subject_token_type: kind }) {
  if (kind === type('id_token')) {
    const { payload } = await jwtVerify(token, state.keys, { issuer: state.issuer, audience: client.clientId }).catch(() => {
      throw new errors.InvalidGrant('subject_token');
    });
    return payload.sub;
  }
  const found = kind === type('refresh_token') && await provider.RefreshToken.find(token);
  if (!found || found.consumed || found.clientId !== client.clientId) throw new errors.InvalidGrant('subject_token');
  return found.accountId;
}

// takeIDJAG issues one access token for an ID-JAG of the identity provider, and refuses the same ID-JAG afterwards (RFC 7523 §3,
// enterprise-managed authorization §5.1).
const takeIDJAG = (provider, state, idp) => {
  const used = new Set();
  return async (ctx) => {
    const { client, params } = ctx.oidc;
    const { payload } = await jwtVerify(params.assertion, idp.keys, { issuer: idp.issuer, audience: state.issuer, typ: 'oauth-id-jag+jwt' }).catch(() => {
      throw new errors.InvalidGrant('assertion');
    });
    if (payload.client_id !== client.clientId || payload.resource !== state.url || used.has(payload.jti)) throw new errors.InvalidGrant('assertion');
    used.add(payload.jti);
    const scope = (params.scope ?? '').split(' ').filter((s) => scopes.includes(s) && payload.scope.split(' ').includes(s)).join(' ');
    const grant = new provider.Grant({ accountId: payload.sub, clientId: client.clientId });
    grant.addResourceScope(state.url, scope);
    const token = new provider.AccessToken({ accountId: payload.sub, client, grantId: await grant.save(), gty: 'jwt_bearer', scope });
    token.resourceServer = new provider.ResourceServer(state.url, { scope: scopes.join(' '), audience: state.url, accessTokenTTL: state.ttl, accessTokenFormat: 'opaque' });
    ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: state.ttl, scope };
  };
};
