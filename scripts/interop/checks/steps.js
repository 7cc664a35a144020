// Steps that the checks of several authorization servers share.

import assert from 'node:assert/strict';

import { until } from './harness.js';

// status returns the status of the login with the given name.
export async function status(mcpauth, name, o) {
  const list = (await mcpauth(`status ${name} --json`, o)).json;
  assert.equal(list.length, 1);
  return list[0];
}

// whoami calls the tool that returns the server's information about the token.
export async function whoami(mcpauth, name, o) {
  return (await mcpauth(`call ${name} whoami`, o)).json;
}

// expire waits until a stored token has expired, without sending a request.
export async function expire(mcpauth, name) {
  await until(`${name} expires`, async () => (await status(mcpauth, name)).state === 'expired');
}

// post sends a form and returns the status and JSON of the response.
export async function post(url, form) {
  const res = await fetch(url, { method: 'POST', body: new URLSearchParams(form) });
  const text = await res.text();
  return { status: res.status, body: text && JSON.parse(text) };
}

// refused checks that an MCP server no longer accepts the access token.
export async function refused(url, token) {
  assert.equal((await ask(url, token)).status, 401);
}

// accepted checks that an MCP server accepts the access token.
export async function accepted(url, token) {
  assert.equal((await ask(url, token)).status, 200);
}

function ask(url, token) {
  return fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({
      jsonrpc: '2.0', id: 1, method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'interop', version: '1' } },
    }),
  });
}

// noSecrets checks that mcpauth has not printed any token that the server has issued.
export function noSecrets(text, answers) {
  assert.ok(answers.length > 0 && text.length > 0);
  for (const answer of answers) {
    for (const secret of [answer.access_token, answer.refresh_token, answer.id_token]) {
      assert.ok(!secret || !text.includes(secret), 'a token was printed');
    }
  }
}
