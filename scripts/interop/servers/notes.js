// An MCP server with the TypeScript SDK, for both authorization servers. One tool needs no additional scope, and one tool needs the scope
// notes:write.

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { z } from 'zod';

export const scopes = ['notes:read', 'notes:write'];

// scopeOf returns the scope that a request needs.
export function scopeOf(message) {
  return message?.method === 'tools/call' && message.params?.name === 'write_note' ? 'notes:write' : 'notes:read';
}

export function notesServer() {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  const text = (value) => ({ content: [{ type: 'text', text: value }] });
  server.registerTool('whoami', { description: 'What the server knows of the token', annotations: { readOnlyHint: true } }, ({ authInfo }) =>
    text(JSON.stringify({ client: authInfo.clientId, scopes: authInfo.scopes, ...authInfo.extra })));
  server.registerTool('write_note', { description: 'Keep a note; needs notes:write', inputSchema: { note: z.string() } }, ({ note }) =>
    text(`kept: ${note}`));
  return server;
}
