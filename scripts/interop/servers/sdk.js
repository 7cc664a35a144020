// A typical server with the TypeScript SDK: mcpAuthRouter and requireBearerAuth in front of a streamable HTTP server with sessions. The
// SDK's demo provider has no refresh tokens and no revocation, so this module adds both. If a client uses a refresh token twice, the
// server ends the grant.

import { randomUUID } from 'node:crypto';
import express from 'express';
import { DemoInMemoryAuthProvider } from '@modelcontextprotocol/sdk/examples/server/demoInMemoryOAuthProvider.js';
import { InvalidGrantError, InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

import { listen } from './listen.js';
import { notesServer, scopeOf, scopes } from './notes.js';

class RotatingProvider extends DemoInMemoryAuthProvider {
  ttl = 600; // lifetime of access tokens in seconds
  seen = []; // token requests that succeeded: { grant, client, answer }
  #refresh = new Map(); // refresh token -> { grant, used }

  async exchangeAuthorizationCode(client, code, ...rest) {
    const first = await super.exchangeAuthorizationCode(client, code, ...rest);
    const { scopes: granted, resource } = this.tokens.get(first.access_token);
    this.tokens.delete(first.access_token);
    return this.#issue({ client: client.client_id, scopes: granted, resource, access: new Set() }, 'authorization_code');
  }

  async exchangeRefreshToken(client, token, _scopes, resource) {
    const entry = this.#refresh.get(token);
    if (!entry || entry.grant.client !== client.client_id || entry.grant.ended) throw new InvalidGrantError('unknown refresh token');
    if (entry.used) {
      this.#end(entry.grant);
      throw new InvalidGrantError('refresh token was used before');
    }
    if (String(resource) !== String(entry.grant.resource)) throw new InvalidGrantError('the grant is for another resource');
    entry.used = true;
    return this.#issue(entry.grant, 'refresh_token');
  }

  async revokeToken(client, { token }) {
    const grant = this.#refresh.get(token)?.grant;
    if (grant?.client === client.client_id) this.#end(grant);
    if (this.tokens.get(token)?.clientId === client.client_id) this.tokens.delete(token);
  }

  async verifyAccessToken(token) {
    const info = await super.verifyAccessToken(token).catch((err) => {
      throw new InvalidTokenError(err.message);
    });
    return { ...info, extra: { scheme: 'bearer', audience: info.resource } };
  }

  #issue(grant, kind) {
    const access = randomUUID();
    const refresh = randomUUID();
    grant.access.add(access);
    this.tokens.set(access, { token: access, clientId: grant.client, scopes: grant.scopes, resource: grant.resource, expiresAt: Date.now() + this.ttl * 1000 });
    this.#refresh.set(refresh, { grant, used: false });
    const answer = { access_token: access, refresh_token: refresh, token_type: 'bearer', expires_in: this.ttl, scope: grant.scopes.join(' ') };
    this.seen.push({ grant: kind, client: grant.client, answer });
    return answer;
  }

  #end(grant) {
    grant.ended = true;
    for (const token of grant.access) this.tokens.delete(token);
  }
}

export async function startSDK({ port = 0 } = {}) {
  const listener = await listen(port);
  const url = `${listener.origin}/mcp`;
  const provider = new RotatingProvider((resource) => String(resource) === url);
  const app = express();
  app.use(mcpAuthRouter({ provider, issuerUrl: new URL(listener.origin), resourceServerUrl: new URL(url), scopesSupported: scopes }));
  const guard = (scope) => requireBearerAuth({
    verifier: provider, requiredScopes: [scope], expectedResource: url, resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(new URL(url)),
  });
  const guards = Object.fromEntries(scopes.map((scope) => [scope, guard(scope)]));
  const check = (req, res, next) => guards[scopeOf(req.body)](req, res, next);
  app.all('/mcp', express.json(), check, sessions());
  listener.serve(app);
  return { url, issuer: `${listener.origin}/`, provider, close: listener.close };
}

// sessions stores one transport per session, like the SDK's examples.
function sessions() {
  const open = new Map();
  return async (req, res) => {
    const id = req.headers['mcp-session-id'];
    let transport = open.get(id);
    if (!transport) {
      if (id) return res.status(404).json({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null });
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (sid) => open.set(sid, transport),
        onsessionclosed: (sid) => open.delete(sid),
      });
      await notesServer().connect(transport);
    }
    return transport.handleRequest(req, res, req.body);
  };
}
