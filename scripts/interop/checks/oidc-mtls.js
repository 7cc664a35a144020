// Client certificates (RFC 8705) at a strict provider: both methods of client authentication, certificate-bound tokens, endpoint aliases.

import assert from 'node:assert/strict';
import { join } from 'node:path';

import { transcript } from './harness.js';
import { noSecrets, whoami } from './steps.js';

export function mutualTLSChecks(server, mcpauth) {
  const file = (name) => join(server.files, name);
  const trust = { env: { NODE_EXTRA_CA_CERTS: file('ca.pem'), SSL_CERT_FILE: file('ca.pem') } };
  const alone = { env: { ...trust.env, BROWSER: 'none' } };
  const cert = (name) => `--cert ${file(`${name}.pem`)} --key ${file(`${name}.key`)}`;

  const machine = (client) => async () => {
    await mcpauth(`login ${server.url} --name ${client} --grant client_credentials --client-id ${client} --scope notes:read ${cert(client)}`, alone);
    assert.equal((await whoami(mcpauth, client, alone)).client, client);
    await mcpauth(`refresh ${client}`, alone);
    assert.ok(server.seen.filter((s) => s.client === client).every((s) => s.alias));
  };

  return {
    'client certificate: tls_client_auth': machine('issued'),
    'client certificate: self_signed_tls_client_auth': machine('self'),
    'client certificate: a bound token is of no use with another': async () => {
      const { stderr } = await mcpauth(`call self whoami ${cert('issued')}`, { ...alone, code: 4 });
      assert.match(stderr, /invalid_client/);
    },
    'client certificate: a login in the browser, bound and renewed': async () => {
      await mcpauth(`login ${server.url} --name person ${cert('issued')}`, trust);
      assert.equal((await whoami(mcpauth, 'person', trust)).subject, 'interop');
      await mcpauth('refresh person', alone);
      assert.deepEqual(server.seen.slice(-2).map((s) => [s.grant, s.alias]), [['authorization_code', true], ['refresh_token', true]]);
      await mcpauth('call person write_note note=x', trust);
      await mcpauth('logout person', alone);
    },
    'no token was ever printed': async () => noSecrets(transcript.text, server.seen.map((s) => s.answer)),
  };
}
