// The resource server in front of the MCP endpoint. It serves metadata (RFC 9728), and checks that each token is active and has the right
// audience and scope. If a token is bound to a key, the resource server also checks the proof of possession (RFC 9449 §7).

import { createHash, randomUUID } from 'node:crypto';
import express from 'express';
import { EmbeddedJWK, calculateJwkThumbprint, createRemoteJWKSet, jwtVerify } from 'jose';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

import { notesServer, scopeOf, scopes } from './notes.js';

export function mcpRoutes(app, o) {
  const metadata = new URL(o.url);
  metadata.pathname = `/.well-known/oauth-protected-resource${metadata.pathname}`;
  const nonce = randomUUID();
  const verify = o.verify ?? (o.signed ? verifySigned(o) : verifyOpaque(o));
  app.get(metadata.pathname, (req, res) => res.json({
    resource: o.url,
    authorization_servers: [o.issuer],
    scopes_supported: scopes,
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: ['ES256'],
  }));
  app.all(o.path, express.json(), async (req, res) => {
    const refuse = (status, error, scope) => {
      const words = [error && `error="${error}"`, `scope="${scope}"`, `resource_metadata="${metadata.href}"`].filter(Boolean);
      res.set('WWW-Authenticate', [`Bearer ${words.join(', ')}`, 'DPoP algs="ES256"']).status(status).json({ error });
    };
    const [scheme, token] = (req.headers.authorization ?? '').split(' ');
    if (!token) return refuse(401, undefined, 'notes:read');
    const claims = await verify(token).catch(() => undefined);
    const proof = claims && (await possession(req, scheme, token, claims, o));
    if (!proof || ![claims.aud].flat().includes(o.url)) return refuse(401, 'invalid_token', 'notes:read');
    if (proof.bound && proof.nonce !== nonce) {
      return res.set({ 'WWW-Authenticate': 'DPoP error="use_dpop_nonce"', 'DPoP-Nonce': nonce }).status(401).end();
    }
    const granted = (claims.scope ?? '').split(' ');
    const needed = scopeOf(req.body);
    if (!granted.includes(needed)) return refuse(403, 'insufficient_scope', needed);
    if (req.method !== 'POST') return res.status(405).set('Allow', 'POST').end();
    req.auth = { token, clientId: claims.client_id, scopes: granted, extra: { scheme: scheme.toLowerCase(), subject: claims.sub, audience: claims.aud } };
    return speak(req, res);
  });
}

// speak handles one MCP request without a session.
async function speak(req, res) {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  const server = notesServer();
  res.on('close', () => server.close());
  await server.connect(transport);
  await transport.handleRequest(req, res, req.body);
}

// verifyOpaque introspects a token (RFC 7662), so that the resource server rejects a revoked token at once.
const verifyOpaque = ({ issuer, introspector }) => async (token) => {
  const basic = Buffer.from(`${introspector.id}:${introspector.secret}`).toString('base64');
  const res = await fetch(`${issuer}/token/introspection`, {
    method: 'POST', headers: { authorization: `Basic ${basic}` }, body: new URLSearchParams({ token }),
  });
  const claims = await res.json();
  return claims.active ? claims : undefined;
};

// verifySigned checks a JWT access token without a request to the provider (RFC 9068 §4).
const verifySigned = ({ issuer, url }) => {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  return async (token) => (await jwtVerify(token, keys, { issuer, audience: url, typ: 'at+jwt' })).payload;
};

// possession checks whether the sender may use the token. Anyone may use a bearer token. A certificate-bound token needs the certificate
// (RFC 8705 §3). A DPoP-bound token needs a proof for the request (RFC 9449), and possession returns the nonce of the proof.
async function possession(req, scheme, token, claims, { url }) {
  const certificate = claims.cnf?.['x5t#S256'];
  const shown = req.socket.getPeerX509Certificate?.();
  if (certificate && !(shown && createHash('sha256').update(shown.raw).digest('base64url') === certificate)) return undefined;
  const key = claims.cnf?.jkt;
  if (!key) return scheme.toLowerCase() === 'bearer' && { bound: false };
  if (scheme.toLowerCase() !== 'dpop' || typeof req.headers.dpop !== 'string') return undefined;
  try {
    const { payload, protectedHeader } = await jwtVerify(req.headers.dpop, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'], maxTokenAge: 60 });
    const good = payload.htm === req.method && payload.htu === url && payload.ath === createHash('sha256').update(token).digest('base64url')
      && (await calculateJwkThumbprint(protectedHeader.jwk)) === key;
    return good ? { bound: true, nonce: payload.nonce } : undefined;
  } catch {
    return undefined;
  }
}
