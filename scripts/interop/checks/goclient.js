// The Go SDK's client uses a server through mcpauth proxy, in each generation of the protocol. ../goclient contains the checks.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { build } from '../servers/gosdk.js';

export const goClientChecks = (kind) => async (server, mcpauth) => {
  const checks = {};
  for (const protocol of ['2025-11-25', '2026-07-28']) {
    for await (const { name, error } of drive(kind, protocol, server, [process.env.MCPAUTH_BIN, 'proxy', server.url, '--quiet'], mcpauth.env)) {
      checks[`go sdk, ${protocol}: ${name}`] = () => assert.ok(error === undefined, error);
    }
  }
  return checks;
};

// drive yields the results of the Go client for a target, which is a command or a URL.
export async function* drive(kind, protocol, server, target, env) {
  const child = spawn(build('mcpauth/scripts/interop/goclient'), [kind, protocol, ...target], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let last;
  for await (const line of createInterface({ input: child.stdout })) {
    const result = JSON.parse(line);
    if (result.restart) {
      await server.stop();
      await server.start();
      child.stdin.write('\n');
      continue;
    }
    last = result.name;
    yield result;
  }
  if (last !== 'close') yield { name: 'the end', error: `the client ended after ${last}` };
}
