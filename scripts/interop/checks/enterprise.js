// Enterprise-managed authorization with two instances of oidc-provider. One instance is the identity provider, and the other instance is
// the authorization server of the MCP server.

import assert from 'node:assert/strict';

import { transcript } from './harness.js';
import { noSecrets, refused, status, whoami } from './steps.js';

export function enterpriseChecks(server, mcpauth) {
  const alone = { env: { BROWSER: 'none' } };
  const { idp, employee } = server;
  const short = (grant) => grant.split(':').at(-1);

  // asked runs a command and returns the grant types of the token requests that the identity provider received during the command.
  async function asked(words, o) {
    const before = idp.seen.length;
    await mcpauth(words, o);
    return idp.seen.slice(before).map((s) => short(s.grant) + (s.type ? ` of ${short(s.type)}` : ''));
  }
  const refreshToken = () => idp.seen.findLast((s) => s.answer.refresh_token).answer.refresh_token;
  const live = async (token) => {
    const found = await idp.provider.RefreshToken.find(token);
    return Boolean(found && !found.consumed);
  };

  return {
    'login in the browser of the identity provider': async () => {
      const flags = `--grant enterprise --client-id ${server.office} --idp-issuer ${idp.issuer} --idp-client-id ${employee.id} --idp-client-secret-env SECRET`;
      const grants = await asked(`login ${server.url} --name work ${flags}`, { env: { SECRET: employee.secret } });
      assert.deepEqual(grants, ['authorization_code', 'token-exchange of id_token']);
      assert.equal(server.opened, 0);
      const me = await whoami(mcpauth, 'work', alone);
      assert.equal(me.subject, 'interop');
      assert.equal(me.client, server.office);
      assert.equal((await status(mcpauth, 'work')).refreshable, true);
    },
    'renewal without a browser, with rotation': async () => {
      for (let i = 0; i < 2; i++) {
        const before = refreshToken();
        assert.deepEqual(await asked('refresh work', alone), ['refresh_token', 'token-exchange of id_token']);
        assert.equal(await live(before), false);
        assert.equal(await live(refreshToken()), true);
      }
      assert.equal(idp.opened, 1);
    },
    'step-up without a browser': () => mcpauth('call work write_note note=x', alone),
    'no ID token with a refresh: the refresh token is exchanged': async () => {
      idp.hideIDToken = true;
      assert.deepEqual(await asked('refresh work', alone), ['refresh_token', 'token-exchange of refresh_token']);
      idp.hideIDToken = false;
    },
    'a dozen renewals at once spend no refresh token twice': async () => {
      await Promise.all(Array.from({ length: 12 }, () => mcpauth('token work --min-ttl 1h', { ...alone, secret: true })));
      assert.deepEqual(idp.refused, []);
      assert.equal(await live(refreshToken()), true);
    },
    'a grant that the identity provider ends: log in again, as the hint says': async () => {
      await (await idp.provider.Grant.find((await idp.provider.RefreshToken.find(refreshToken())).grantId)).destroy();
      const { stderr } = await mcpauth('refresh work', { ...alone, code: 4 });
      const hint = /^hint: mcpauth (login work)$/m.exec(stderr);
      assert.ok(hint, stderr);
      assert.equal((await status(mcpauth, 'work')).refreshable, false);
      await mcpauth(hint[1]);
      assert.equal((await whoami(mcpauth, 'work', alone)).subject, 'interop');
    },
    'logout': async () => {
      const token = refreshToken();
      const { answer } = server.seen.at(-1);
      await mcpauth('logout work', alone);
      assert.equal(await live(token), false);
      await refused(server.url, answer.access_token);
    },
    'no token was ever printed': async () => noSecrets(transcript.text, [...idp.seen, ...server.seen].map((s) => s.answer)),
  };
}
