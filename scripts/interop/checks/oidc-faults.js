// Faults between mcpauth and a strict provider. mcpauth must delete a refresh token if the provider has ended the grant, and must keep the
// token after all other faults. The error must say what to do.

import assert from 'node:assert/strict';

import { transcript, until } from './harness.js';
import { noSecrets, status, whoami } from './steps.js';

export function oidcFaultChecks(server, mcpauth) {
  const alone = { env: { BROWSER: 'none' } };
  const count = (grant) => server.seen.filter((s) => s.grant === grant).length;
  const failure = async (args, code, o) => JSON.parse((await mcpauth(`${args} --json`, { ...o, code })).stderr.trim().split('\n').at(-1)).error;

  return {
    'two logins at once: the second takes the first one\'s': async () => {
      await Promise.all([mcpauth(`login ${server.url} --name notes`), mcpauth(`login ${server.url} --name notes`)]);
      assert.equal(count('authorization_code'), 1);
    },
    'a failing token endpoint costs nothing': async () => {
      server.answering = (ctx) => {
        server.answering = undefined;
        Object.assign(ctx, { status: 503, body: 'come again' });
      };
      const { generation } = await status(mcpauth, 'notes');
      // The provider has issued tokens, but its response is unreadable. mcpauth cannot know that the old refresh token is used up.
      assert.equal((await failure('refresh notes', 5, alone)).code, 'server');
      assert.equal((await status(mcpauth, 'notes')).generation, generation);
      await whoami(mcpauth, 'notes', alone);
    },
    'an answer lost for good: the provider sees reuse, mcpauth says why, a login helps': async () => {
      const error = await failure('refresh notes', 4, alone);
      assert.equal(error.code, 'invalid_grant');
      assert.match(error.hint, /mcpauth login notes/);
      await mcpauth('login notes');
      await whoami(mcpauth, 'notes', alone);
    },
    'killed between the answer and the store: told truthfully afterwards': async () => {
      let answered, dead;
      const reader = new Promise((resolve) => { dead = resolve; });
      server.answering = () => {
        server.answering = undefined;
        answered = true;
        return reader; // the response waits until mcpauth has been killed
      };
      const kill = (child) => until('the refresh is sent', () => answered).then(() => child.kill('SIGKILL'));
      await mcpauth('refresh notes', { ...alone, code: null, kill });
      dead();
      const error = await failure('refresh notes', 4, alone);
      assert.equal(error.code, 'invalid_grant');
      assert.match(error.message, /interrupt/);
      await mcpauth('login notes');
      await whoami(mcpauth, 'notes', alone);
    },
    'a scope that the provider drops is named; the call asks for what it needs': async () => {
      const { stderr } = await mcpauth(`login ${server.url} --name odd --scope notes:burn`);
      assert.match(stderr, /warning: .*notes:burn/);
      assert.deepEqual((await whoami(mcpauth, 'odd')).scopes, ['notes:read']);
      await mcpauth('logout odd', alone);
    },
    'a resource that the provider does not know: the hint names the flag': async () => {
      const error = await failure(`login ${server.url} --name odd --resource https://elsewhere.example/mcp`, 4);
      assert.match(error.hint, /--no-resource/);
    },
    'a token for nobody in particular is refused by the server: exit 4': async () => {
      await mcpauth(`login ${server.url} --name nobody --no-resource`);
      await mcpauth('call nobody whoami', { ...alone, code: 4 });
      await mcpauth('logout nobody', alone);
    },
    'logout while the provider is gone: done here, with a warning': async () => {
      server.close();
      const [done] = [(await mcpauth('logout notes --json', alone)).json].flat();
      assert.deepEqual([done.logged_in, done.revoked, done.client_deleted], [true, false, false]);
      assert.ok(done.warnings.length > 0);
      await mcpauth('status notes', { code: 2 });
    },
    'no token was ever printed': async () => noSecrets(transcript.text, server.seen.map((s) => s.answer)),
  };
}
