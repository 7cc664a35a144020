// Starts one server for manual tests, and prints the commands that log in to the server.

import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { documentURL, startOIDC } from './servers/oidc.js';
import { startSDK } from './servers/sdk.js';
import { startEverything } from './servers/everything.js';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(0));

const port = Number(process.argv[3] ?? 9300);
const servers = {
  async oidc() {
    const s = await startOIDC({ ports: [port, port + 1] });
    const file = join(tmpdir(), `interop-machine-${port}.pem`);
    writeFileSync(file, s.machineKey, { mode: 0o600 });
    process.on('exit', () => rmSync(file));
    return `MCP server ${s.url} (opaque tokens), ${s.jwtURL} (signed tokens); issuer ${s.issuer}; any name and password will do

  mcpauth login ${s.url} --name notes
  mcpauth call notes whoami
  mcpauth call notes write_note note=hello         # asks for the scope notes:write
  mcpauth login ${s.url} --name bound --dpop always
  mcpauth login ${s.url} --name device --grant device_code
  mcpauth login ${s.url} --name machine --grant client_credentials --client-id machine --client-key ${file}
  mcpauth login ${s.url} --name document --client-metadata-url ${documentURL}
  SECRET='${s.confidential.secret}' mcpauth login ${s.url} --name secret --client-id ${s.confidential.id} --client-secret-env SECRET`;
  },
  async sdk() {
    const s = await startSDK({ port });
    return `MCP server ${s.url}; it approves every login at once

  mcpauth login ${s.url} --name sdk
  mcpauth call sdk whoami
  mcpauth call sdk write_note note=hello           # asks for the scope notes:write`;
  },
  async everything() {
    const s = await startEverything({ port });
    return `MCP server ${s.url}, without authorization

  mcpauth tools ${s.url}
  mcpauth call ${s.url} echo message=hello`;
  },
};

const start = servers[process.argv[2]];
if (!start || !Number.isInteger(port)) {
  console.error('usage: scripts/interop/start oidc|sdk|everything [PORT]');
  process.exit(2);
}
console.log(await start());
