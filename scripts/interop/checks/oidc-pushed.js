// Pushed authorization requests (RFC 9126) at a strict provider that accepts no other authorization requests.

import assert from 'node:assert/strict';

import { transcript } from './harness.js';
import { noSecrets, whoami } from './steps.js';

oidcPushedChecks.server = { requirePAR: true };

export function oidcPushedChecks(server, mcpauth) {
  const alone = { env: { BROWSER: 'none' } };

  // login logs in and checks that one request was pushed.
  async function login(words, o) {
    const before = server.pushed;
    await mcpauth(words, o);
    assert.equal(server.pushed - before, 1);
  }

  return {
    'pushed authorization request: login and call': async () => {
      await login(`login ${server.url} --name pushed`);
      assert.equal((await whoami(mcpauth, 'pushed', alone)).subject, 'interop');
    },
    'pushed authorization request: step-up': () => login('call pushed write_note note=x'),
    'pushed authorization request: bound by DPoP, with nonces': async () => {
      const before = server.opened;
      await mcpauth(`login ${server.url} --name bound --dpop always`);
      assert.equal(server.opened - before, 1);
      assert.equal((await whoami(mcpauth, 'bound', alone)).scheme, 'dpop');
    },
    'pushed authorization request: a client with a secret': async () => {
      const { id, secret } = server.confidential;
      await login(`login ${server.url} --name secret --client-id ${id} --client-secret-env SECRET`, { env: { SECRET: secret } });
      assert.equal((await whoami(mcpauth, 'secret', alone)).client, id);
    },
    'pushed authorization request: in two steps': async () => {
      const { stdout: address } = await mcpauth(`login ${server.url} --name later --print-url`, alone);
      assert.deepEqual([...new URL(address.trim()).searchParams.keys()].sort(), ['client_id', 'request_uri']);
      const { stdout: answer } = await mcpauth.browse(['--print', address.trim()]);
      await mcpauth(`login ${server.url} --name later --callback-url -`, { ...alone, stdin: answer });
      await whoami(mcpauth, 'later', alone);
    },
    'no token was ever printed': async () => noSecrets(transcript.text, server.seen.map((s) => s.answer)),
  };
}
