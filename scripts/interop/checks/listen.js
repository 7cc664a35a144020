// MCP clients without OAuth use a server that requires a login, at the URLs of mcpauth proxy --listen and mcpauth exec.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { build } from '../servers/gosdk.js';
import { clients } from './clients.js';

export const listenChecks = (server, mcpauth) => {
  let proxy;
  let url;
  const checks = {
    'listen: login': () => mcpauth(`login ${server.url} --name sdk`),
    'listen: an address': async () => {
      proxy = spawn(process.env.MCPAUTH_BIN, ['proxy', 'sdk', '--listen', '127.0.0.1:0'], { env: mcpauth.env, stdio: ['ignore', 'pipe', 'ignore'] });
      process.on('exit', () => proxy.kill('SIGKILL'));
      const [line] = await once(proxy.stdout.setEncoding('utf8'), 'data');
      ({ url } = JSON.parse(line));
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{64}\/mcp$/);
    },
    'listen: nothing without the secret': async () => {
      for (const [address, init] of [[url.replace(/\/[0-9a-f]{64}\//, '/'), {}], [url, { headers: { Origin: 'https://evil.example' } }]]) {
        const res = await fetch(address, { method: 'POST', ...init });
        assert.equal(`${res.status} ${await res.text()}`, '404 ');
      }
    },
  };
  for (const [name, connect] of Object.entries(clients)) {
    checks[`listen: ${name}`] = async () => {
      const c = await connect({ url });
      assert.ok((await c.client.listTools()).tools.length > 0);
      assert.match(await c.text('whoami'), /./);
      await c.client.close();
    };
  }
  return {
    ...checks,
    'listen: an expired token is renewed, and no client notices': async () => {
      const c = await clients['sdk 1.32.2']({ url });
      const before = server.provider.seen.length;
      server.provider.tokens.clear();
      assert.match(await c.text('whoami'), /./);
      assert.equal(server.provider.seen.length - before, 1);
      await c.client.close();
    },
    'listen: the end': async () => {
      const ended = once(proxy, 'exit');
      proxy.kill('SIGTERM');
      assert.equal((await ended)[0], 130);
      await assert.rejects(fetch(url));
    },
    'exec: the client of the Go SDK': async () => {
      const client = build('mcpauth/scripts/interop/goclient');
      const got = await mcpauth(`exec sdk -- ${client} notes 2025-11-25 env:MCPAUTH_URL`);
      for (const line of got.stdout.trim().split('\n')) assert.equal(JSON.parse(line).error, undefined, line);
      assert.match(got.stdout, /"close"/);
    },
    'exec: no token is in the environment': async () => {
      const { stdout } = await mcpauth('exec sdk -- env');
      for (const { answer } of server.provider.seen) assert.ok(!stdout.includes(answer.access_token) && !stdout.includes(answer.refresh_token));
    },
  };
};
