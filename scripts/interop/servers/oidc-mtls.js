// A strict OpenID provider with TLS and separate endpoints for clients with a certificate (RFC 8705), and an MCP server that requests a
// client certificate. openssl creates the certificates.

import { execFileSync } from 'node:child_process';
import { X509Certificate, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import Provider from 'oidc-provider';

import { listen } from './listen.js';
import { mcpRoutes } from './resource.js';
import { scopes } from './notes.js';

export async function startMutualTLS() {
  const files = certificates();
  const read = (name) => readFileSync(join(files, name));
  const server = { key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem') };
  const asking = { ...server, requestCert: true, rejectUnauthorized: false }; // the provider checks self-signed certificates itself
  const [auth, aliases, mcp] = await Promise.all([listen(0, server), listen(0, asking), listen(0, asking)]);
  const state = {
    url: `${mcp.origin}/mcp`, files, seen: [],
    close: () => [auth, aliases, mcp].forEach((l) => l.close()),
  };
  const machine = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [], tls_client_certificate_bound_access_tokens: true };
  const self = new X509Certificate(read('self.pem'));
  const provider = new Provider(auth.origin, {
    clients: [
      { ...machine, client_id: 'issued', token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=issued' },
      {
        ...machine, client_id: 'self', token_endpoint_auth_method: 'self_signed_tls_client_auth',
        jwks: { keys: [{ ...self.publicKey.export({ format: 'jwk' }), x5c: [self.raw.toString('base64')] }] },
      },
    ],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    clientAuthMethods: ['none', 'tls_client_auth', 'self_signed_tls_client_auth'],
    discovery: { mtls_endpoint_aliases: { token_endpoint: `${aliases.origin}/token`, revocation_endpoint: `${aliases.origin}/token/revocation` } },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      registrationManagement: { enabled: true },
      revocation: { enabled: true },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && ctx.socket.getPeerX509Certificate().subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: () => ({ scope: scopes.join(' '), audience: state.url, accessTokenTTL: 600, accessTokenFormat: 'opaque' }),
      },
    },
  });
  provider.on('grant.success', (ctx) => {
    state.seen.push({ grant: ctx.oidc.params.grant_type, client: ctx.oidc.client.clientId, alias: aliases.origin.endsWith(`:${ctx.socket.localPort}`), answer: ctx.body });
  });
  auth.serve(provider.callback());
  aliases.serve(provider.callback());

  const app = express();
  mcpRoutes(app, { path: '/mcp', url: state.url, issuer: auth.origin, verify: (token) => find(provider, token) });
  mcp.serve(app);
  return state;
}

// find looks up a token in the provider's store.
async function find(provider, token) {
  const t = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
  return t?.isValid ? { aud: t.aud, scope: t.scope, client_id: t.clientId, sub: t.accountId, cnf: { 'x5t#S256': t['x5t#S256'] } } : undefined;
}

// certificates creates a certificate authority, a server certificate, a client certificate signed by the authority, and a self-signed
// client certificate.
function certificates() {
  const cwd = mkdtempSync(join(tmpdir(), 'mtls-'));
  const make = (name, ...more) => execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`, ...more], { cwd, stdio: 'pipe' });
  make('ca');
  make('server', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE');
  make('issued', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'basicConstraints=critical,CA:FALSE');
  make('self');
  return cwd;
}
