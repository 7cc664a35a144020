// A login at the TypeScript SDK's auth router, from registration to logout.

import assert from 'node:assert/strict';

import { transcript } from './harness.js';
import { accepted, expire, noSecrets, post, refused, status, whoami } from './steps.js';

export function sdkChecks(server, mcpauth) {
  const alone = { env: { BROWSER: 'none' } };
  const seen = server.provider.seen;
  const last = () => seen.at(-1);
  const refreshes = () => seen.filter((s) => s.grant === 'refresh_token').length;

  return {
    login: async () => {
      await mcpauth(`login ${server.url} --name notes`);
      assert.equal(last().grant, 'authorization_code');
    },
    'status --json': async () => {
      const s = await status(mcpauth, 'notes');
      assert.deepEqual([s.issuer, s.resource, s.refreshable, s.registration], [server.issuer, server.url, true, 'dynamic']);
    },
    tools: async () => assert.match((await mcpauth('tools notes', alone)).stdout, /whoami[^]*write_note/),
    call: async () => {
      const me = await whoami(mcpauth, 'notes', alone);
      assert.deepEqual([me.client, me.audience], [last().client, server.url]);
    },
    'expiry, then silent renewal by eight calls at once: one refresh': async () => {
      server.provider.ttl = 2;
      await mcpauth('refresh notes', alone);
      await expire(mcpauth, 'notes');
      server.provider.ttl = 600;
      const before = refreshes();
      await Promise.all(Array.from({ length: 8 }, () => whoami(mcpauth, 'notes', alone)));
      assert.equal(refreshes() - before, 1);
    },
    'an access token ended by the server is renewed on its 401': async () => {
      server.provider.tokens.delete(last().answer.access_token);
      const before = refreshes();
      await whoami(mcpauth, 'notes', alone);
      assert.equal(refreshes() - before, 1);
    },
    'step-up on 403': async () => {
      assert.equal((await mcpauth('call notes write_note note=hello')).stdout.trim(), 'kept: hello');
      assert.deepEqual((await whoami(mcpauth, 'notes', alone)).scopes.toSorted(), ['notes:read', 'notes:write']);
    },
    'reuse detection: a replayed refresh token ends the grant; exit 4, and a login helps': async () => {
      const { client, answer } = last();
      await mcpauth('refresh notes', alone);
      const replay = await post(`${server.issuer}token`, {
        grant_type: 'refresh_token', refresh_token: answer.refresh_token, client_id: client, resource: server.url,
      });
      assert.deepEqual([replay.status, replay.body.error], [400, 'invalid_grant']);
      await refused(server.url, last().answer.access_token);
      await mcpauth('refresh notes', { ...alone, code: 4 });
      await mcpauth('call notes whoami', { ...alone, code: 4 });
      await mcpauth('status notes', { code: 4 });
      await mcpauth('login notes --if-needed');
      await whoami(mcpauth, 'notes', alone);
    },
    'a registration forgotten by the server is made anew by the next call': async () => {
      const { client } = last();
      server.provider.ttl = 2;
      await mcpauth('refresh notes', alone);
      await expire(mcpauth, 'notes');
      server.provider.ttl = 600;
      server.provider.clientsStore.clients.delete(client);
      assert.notEqual((await whoami(mcpauth, 'notes')).client, client);
    },
    'logout revokes the tokens': async () => {
      const { answer } = last();
      await accepted(server.url, answer.access_token);
      const [done] = [(await mcpauth('logout notes --json', alone)).json].flat();
      assert.deepEqual([done.revoked, done.client_deleted, done.warnings], [true, false, []]);
      await refused(server.url, answer.access_token);
    },
    'what this server lacks is said before anybody is asked': async () => {
      for (const flags of ['--dpop always', '--grant device_code']) {
        const { stderr } = await mcpauth(`login ${server.url} ${flags} --json`, { code: 4 });
        assert.match(JSON.parse(stderr.trim().split('\n').at(-1)).error.message, /not offered by the authorization server/);
        assert.doesNotMatch(stderr, /open this address/);
      }
    },
    'no token was ever printed': async () => noSecrets(transcript.text, seen.map((s) => s.answer)),
  };
}
