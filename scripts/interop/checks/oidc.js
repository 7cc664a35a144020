// An ordinary login at a strict OpenID provider, from registration to logout.

import assert from 'node:assert/strict';

import { browser, transcript } from './harness.js';
import { accepted, expire, noSecrets, post, refused, status, whoami } from './steps.js';

export function oidcChecks(server, mcpauth) {
  const alone = { env: { BROWSER: 'none' } }; // no user is present
  const answers = () => server.seen.map((s) => s.answer);
  const last = () => server.seen.at(-1);
  const refreshes = () => server.seen.filter((s) => s.grant === 'refresh_token').length;
  const replay = (client, token) => post(`${server.issuer}/token`, {
    grant_type: 'refresh_token', refresh_token: token, client_id: client, resource: server.url,
  });
  let client;

  return {
    'no credentials, nobody there: login required': async () => {
      const { stderr } = await mcpauth(`call ${server.url} whoami --json`, { ...alone, code: 4 });
      assert.equal(JSON.parse(stderr).error.code, 'login_required');
    },
    'login denied by the user': async () => {
      const { stderr } = await mcpauth(`login ${server.url} --json --quiet`, { code: 4, env: { BROWSER: `${browser} --deny` } });
      assert.equal(JSON.parse(stderr).error.code, 'access_denied');
    },
    login: async () => {
      await mcpauth(`login ${server.url} --name notes`);
      client = last().client;
      assert.equal(last().grant, 'authorization_code');
      assert.ok(last().answer.refresh_token, 'no refresh token');
    },
    'status --json': async () => {
      const s = await status(mcpauth, 'notes');
      assert.deepEqual(
        { issuer: s.issuer, resource: s.resource, refreshable: s.refreshable, client_id: s.client_id, registration: s.registration, grant: s.grant },
        { issuer: server.issuer, resource: server.url, refreshable: true, client_id: client, registration: 'dynamic', grant: 'authorization_code' },
      );
      assert.equal(s.token_type.toLowerCase(), 'bearer');
      assert.ok(['valid', 'expiring'].includes(s.state) && s.scopes.includes('notes:read') && !s.scopes.includes('notes:write'), JSON.stringify(s));
    },
    tools: async () => {
      const { stdout } = await mcpauth('tools notes', alone);
      assert.match(stdout, /whoami[^]*write_note/);
    },
    'call; the token is for this server alone': async () => {
      const me = await whoami(mcpauth, 'notes', alone);
      assert.equal(me.client, client);
      assert.equal(me.audience, server.url);
      assert.equal(me.subject, 'interop');
    },
    'refresh': async () => {
      server.ttl = 2;
      await mcpauth('refresh notes', alone);
      assert.equal(refreshes(), 1);
      assert.equal(last().answer.expires_in, 2);
    },
    'expiry, then silent renewal by eight calls at once: one refresh': async () => {
      await expire(mcpauth, 'notes');
      server.ttl = 600;
      const before = refreshes();
      await Promise.all(Array.from({ length: 8 }, () => whoami(mcpauth, 'notes', alone)));
      assert.equal(refreshes() - before, 1);
    },
    'an access token ended by the server is renewed on its 401': async () => {
      const before = refreshes();
      await (await server.provider.AccessToken.find(last().answer.access_token)).destroy();
      await whoami(mcpauth, 'notes', alone);
      assert.equal(refreshes() - before, 1);
    },
    'step-up on 403, not without a person': async () => {
      const { stderr } = await mcpauth('call notes write_note note=a --json', { ...alone, code: 4 });
      assert.equal(JSON.parse(stderr).error.code, 'insufficient_scope');
    },
    'step-up on 403': async () => {
      const { stdout } = await mcpauth('call notes write_note note=hello');
      assert.equal(stdout.trim(), 'kept: hello');
      const me = await whoami(mcpauth, 'notes', alone);
      assert.ok(me.scopes.includes('notes:read') && me.scopes.includes('notes:write'), String(me.scopes));
      assert.equal(me.client, client, 'it registered again');
    },
    'three logins in one browser with a step-up between: each opens the browser once, and the login works': async () => {
      const began = server.seen.length;
      for (const words of [`login ${server.url} --name shared`, 'call shared write_note note=hello', 'login shared', 'login shared']) {
        const before = server.opened;
        await mcpauth(words);
        assert.equal(server.opened - before, 1, `times that the browser was opened: ${words}`);
        await whoami(mcpauth, 'shared', alone);
        await mcpauth('refresh shared', alone);
        await whoami(mcpauth, 'shared', alone);
      }
      const me = await whoami(mcpauth, 'shared', alone);
      assert.ok(me.scopes.includes('notes:write'), `the scope of the step-up is lost: ${me.scopes}`);
      const [done] = [(await mcpauth('logout shared --json', alone)).json].flat();
      assert.deepEqual([done.revoked, done.warnings], [true, []]);
      for (const { answer } of server.seen.slice(began)) {
        await refused(server.url, answer.access_token);
        assert.equal(await server.provider.RefreshToken.find(answer.refresh_token), undefined);
      }
    },
    'reuse detection: a replayed refresh token ends the grant; exit 4, and a login helps': async () => {
      const stolen = server.seen.findLast((s) => s.client === client).answer.refresh_token;
      await mcpauth('refresh notes', alone);
      const { status: code, body } = await replay(client, stolen);
      assert.deepEqual([code, body.error], [400, 'invalid_grant']);
      await refused(server.url, last().answer.access_token);
      for (const attempt of ['refresh notes --json', 'call notes whoami --json']) {
        const { stderr } = await mcpauth(attempt, { ...alone, code: 4 });
        assert.match(JSON.parse(stderr.trim().split('\n').at(-1)).error.code, /^(invalid_grant|login_required)$/);
      }
      await mcpauth('status notes', { code: 4 });
      await mcpauth('login notes --if-needed');
      await whoami(mcpauth, 'notes', alone);
    },
    'a registration forgotten by the server is made anew by the next call': async () => {
      server.ttl = 2;
      await mcpauth('refresh notes', alone);
      server.ttl = 600;
      await expire(mcpauth, 'notes');
      await server.provider.Client.adapter.destroy(client);
      assert.equal(await server.provider.Client.find(client), undefined);
      const me = await whoami(mcpauth, 'notes');
      assert.notEqual(me.client, client);
      client = me.client;
    },
    'login in two steps: --print-url, --callback-url': async () => {
      const { stdout: address } = await mcpauth(`login ${server.url} --name later --print-url`, alone);
      const { stdout: answer } = await mcpauth.browse(['--print', address.trim()]);
      await mcpauth(`login ${server.url} --name later --callback-url -`, { ...alone, stdin: answer });
      assert.equal((await whoami(mcpauth, 'later', alone)).client, last().client);
      await mcpauth('logout later', alone);
    },
    'token': async () => {
      const { stdout } = await mcpauth('token notes', { ...alone, secret: true });
      await accepted(server.url, stdout.trim());
    },
    'logout revokes the tokens and deletes the registration': async () => {
      const { access_token: access, refresh_token: refresh } = server.seen.findLast((s) => s.client === client).answer;
      await accepted(server.url, access);
      const [done] = [(await mcpauth('logout notes --json', alone)).json].flat();
      assert.deepEqual([done.revoked, done.client_deleted, done.warnings], [true, true, []]);
      await refused(server.url, access);
      assert.equal(await server.provider.RefreshToken.find(refresh), undefined);
      assert.equal(await server.provider.Client.find(client), undefined);
      await mcpauth('status notes', { code: 2 });
    },
    'no token was ever printed': async () => noSecrets(transcript.text, answers()),
  };
}
