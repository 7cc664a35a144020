// Grants and clients at a strict provider: DPoP, device code, client credentials with a private key, a client ID metadata document, and a
// resource with signed tokens.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { documentURL } from '../servers/oidc.js';
import { transcript } from './harness.js';
import { expire, noSecrets, refused, status, whoami } from './steps.js';

export function oidcGrantChecks(server, mcpauth) {
  const alone = { env: { BROWSER: 'none' } };
  const last = () => server.seen.at(-1);

  // onDevice logs in with a device code, and opens the printed URL in the user's browser.
  async function onDevice(answer, name, code) {
    let person;
    const line = (l) => {
      if (l.startsWith(server.issuer)) person ??= mcpauth.browse([...answer, l]);
    };
    await mcpauth(`login ${server.url} --name ${name} --grant device_code`, { ...alone, code, line });
    await person;
  }

  // renewed waits until the login's token expires, and checks that the next call gets a new token with the given grant type.
  async function renewed(name, grant) {
    server.ttl = 2;
    await mcpauth(`refresh ${name}`, alone);
    await expire(mcpauth, name);
    server.ttl = 600;
    const before = server.seen.length;
    const me = await whoami(mcpauth, name, alone);
    assert.deepEqual(server.seen.slice(before).map((s) => s.grant), [grant]);
    return me;
  }

  return {
    'DPoP: login and call': async () => {
      await mcpauth(`login ${server.url} --name bound --dpop always`);
      assert.equal(last().answer.token_type, 'DPoP');
      assert.equal((await status(mcpauth, 'bound')).token_type, 'DPoP');
      assert.equal((await whoami(mcpauth, 'bound', alone)).scheme, 'dpop');
    },
    'DPoP: the stolen token is no good without its key': () => refused(server.url, last().answer.access_token),
    'DPoP: silent renewal': async () => {
      assert.equal((await renewed('bound', 'refresh_token')).scheme, 'dpop');
    },
    'DPoP: step-up': async () => {
      await mcpauth('call bound write_note note=x');
      assert.equal((await whoami(mcpauth, 'bound', alone)).scheme, 'dpop');
    },
    'DPoP: logout': async () => {
      const { client, answer } = last();
      await mcpauth('logout bound', alone);
      assert.equal(await server.provider.RefreshToken.find(answer.refresh_token), undefined);
      assert.equal(await server.provider.Client.find(client), undefined);
    },
    'device code: denied': () => onDevice(['--deny'], 'denied', 4),
    'device code: login': async () => {
      await onDevice([], 'device', 0);
      assert.equal(last().grant, 'urn:ietf:params:oauth:grant-type:device_code');
      assert.equal((await whoami(mcpauth, 'device', alone)).subject, 'interop');
    },
    'device code: silent renewal': () => renewed('device', 'refresh_token'),
    'device code: logout': () => mcpauth('logout device', alone),
    'client credentials by private_key_jwt: login and call': async () => {
      const key = join(mcpauth.home, 'machine.pem');
      writeFileSync(key, server.machineKey, { mode: 0o600 });
      await mcpauth(`login ${server.url} --name machine --grant client_credentials --client-id machine --client-key ${key}`, alone);
      const me = await whoami(mcpauth, 'machine', alone);
      assert.equal(me.client, 'machine');
      assert.equal(me.audience, server.url);
    },
    'client credentials by private_key_jwt: silent renewal': () => renewed('machine', 'client_credentials'),
    'client credentials by private_key_jwt: step-up': async () => {
      await mcpauth('call machine write_note note=x', alone);
    },
    'client credentials by private_key_jwt: bound by DPoP': async () => {
      const key = join(mcpauth.home, 'machine.pem');
      const grant = '--grant client_credentials --client-id machine --dpop always';
      await mcpauth(`login ${server.url} --name machine ${grant} --client-key ${key}`, alone);
      assert.equal((await whoami(mcpauth, 'machine', alone)).scheme, 'dpop');
    },
    'client credentials by private_key_jwt: logout': async () => {
      await mcpauth('logout machine', alone);
      await refused(server.url, last().answer.access_token);
    },
    'client ID metadata document: login and call': async () => {
      await mcpauth(`login ${server.url} --name document --client-metadata-url ${documentURL}`);
      assert.equal((await whoami(mcpauth, 'document', alone)).client, documentURL);
      assert.equal((await status(mcpauth, 'document')).registration, 'metadata_document');
    },
    'client ID metadata document: silent renewal': () => renewed('document', 'refresh_token'),
    'client ID metadata document: logout': () => mcpauth('logout document', alone),
    'client with a secret: login and call': async () => {
      const { id, secret } = server.confidential;
      await mcpauth(`login ${server.url} --name secret --client-id ${id} --client-secret-env SECRET`, { env: { SECRET: secret } });
      assert.equal((await whoami(mcpauth, 'secret', alone)).client, id);
    },
    'client with a secret: silent renewal': () => renewed('secret', 'refresh_token'),
    'client with a secret: step-up as the same client': async () => {
      await mcpauth('call secret write_note note=x');
      assert.equal((await whoami(mcpauth, 'secret', alone)).client, server.confidential.id);
    },
    'client with a secret: logout': async () => {
      await mcpauth('logout secret', alone);
      await refused(server.url, last().answer.access_token);
    },
    'signed access tokens: login and call': async () => {
      await mcpauth(`login ${server.jwtURL} --name signed`);
      assert.equal(last().answer.access_token.split('.').length, 3);
      assert.equal((await whoami(mcpauth, 'signed', alone)).audience, server.jwtURL);
      await refused(server.url, last().answer.access_token);
    },
    'signed access tokens: silent renewal': () => renewed('signed', 'refresh_token'),
    'signed access tokens: step-up': () => mcpauth('call signed write_note note=x'),
    'called back at localhost: login, and step-up as the same client': async () => {
      await mcpauth(`login ${server.url} --name host --callback-host localhost`);
      const { client } = last();
      await mcpauth('call host write_note note=x');
      assert.equal((await whoami(mcpauth, 'host', alone)).client, client);
    },
    'logout --all': async () => {
      const done = (await mcpauth('logout --all --json', alone)).json;
      assert.ok(done.length >= 2 && done.every((d) => d.client_deleted && d.warnings.length === 0), JSON.stringify(done));
      assert.deepEqual((await mcpauth('status --json', alone)).json, []);
    },
    'no token was ever printed': async () => noSecrets(transcript.text, server.seen.map((s) => s.answer)),
  };
}
