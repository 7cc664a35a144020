// MCP clients of both generations of the TypeScript SDK with a common interface. The clients contain no code for OAuth or mcpauth.

import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import * as v1stdio from '@modelcontextprotocol/sdk/client/stdio.js';
import * as v1http from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import * as v2 from '@modelcontextprotocol/client';
import * as v2stdio from '@modelcontextprotocol/client/stdio';

const info = { name: 'interop', version: '1.0.0' };
const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
const replies = {
  'sampling/createMessage': () => ({ model: 'interop', role: 'assistant', content: { type: 'text', text: 'a sampled word' } }),
  'elicitation/create': () => ({ action: 'accept', content: { random: 'an elicited word', name: 'an elicited word' } }),
  'roots/list': () => ({ roots: [{ name: 'a root', uri: 'file:///interop' }] }),
};
const schemas = {
  'sampling/createMessage': types.CreateMessageRequestSchema,
  'elicitation/create': types.ElicitRequestSchema,
  'roots/list': types.ListRootsRequestSchema,
  'notifications/message': types.LoggingMessageNotificationSchema,
  'notifications/resources/updated': types.ResourceUpdatedNotificationSchema,
};
const notifications = ['notifications/message', 'notifications/resources/updated'];

// clients contains functions that connect a client to a target and return the client. A target is { command, args, env } or { url }. The
// member `heard` of a client collects notifications.
export const clients = {
  'sdk 1.32.2': (target) => connect(
    new v1.Client(info, { capabilities }), (name) => schemas[name],
    target.url ? new v1http.StreamableHTTPClientTransport(new URL(target.url)) : new v1stdio.StdioClientTransport({ ...target, stderr: 'pipe' }),
    (client) => (params, options) => client.callTool(params, undefined, options),
  ),
  'client 2.4.0': (target) => modern(target, 'legacy'),
  'client 2.4.0, auto': (target) => modern(target, 'auto'),
};

function modern(target, mode) {
  return connect(
    new v2.Client(info, { capabilities, versionNegotiation: { mode } }), (name) => name,
    target.url ? new v2.StreamableHTTPClientTransport(new URL(target.url)) : new v2stdio.StdioClientTransport({ ...target, stderr: 'pipe' }),
    (client) => (params, options) => client.callTool(params, options),
  );
}

async function connect(client, key, transport, callTool) {
  const heard = [];
  for (const [method, reply] of Object.entries(replies)) client.setRequestHandler(key(method), reply);
  for (const method of notifications) client.setNotificationHandler(key(method), (n) => heard.push(n));
  let stderr = '';
  transport.stderr?.on('data', (data) => (stderr += data));
  await client.connect(transport);
  const call = callTool(client);
  return {
    client, heard, child: transport._process, stderr: () => stderr,
    call: async (name, args = {}, options = {}) => (await call({ name, arguments: args }, options)).content,
    text: async (name, args, options) => (await call({ name, arguments: args ?? {} }, options)).content.map((c) => c.text).join(''),
  };
}
