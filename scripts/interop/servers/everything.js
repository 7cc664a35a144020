// The test server of the MCP project, without authorization: @modelcontextprotocol/server-everything over streamable HTTP.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

import { asProcess, listen } from './listen.js';

export async function startEverything({ port = 0 } = {}) {
  const free = await listen(port);
  free.close();
  const program = createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/dist/index.js');
  const env = { PATH: process.env.PATH, PORT: new URL(free.origin).port };
  return asProcess(`${free.origin}/mcp`, () => spawn(process.execPath, [program, 'streamableHttp'], { env, stdio: 'ignore' }));
}
