// The protocol's own test server, without authorization: @modelcontextprotocol/server-everything over streamable HTTP, as its own process.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

import { listen } from './listen.js';

export async function startEverything({ port = 0 } = {}) {
  const free = await listen(port);
  free.close();
  const chosen = new URL(free.origin).port;
  const program = createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/dist/index.js');
  const child = spawn(process.execPath, [program, 'streamableHttp'], { env: { PATH: process.env.PATH, PORT: chosen }, stdio: 'ignore' });
  const close = () => child.kill();
  process.on('exit', close);
  const url = `${free.origin}/mcp`;
  while (!(await fetch(url).catch(() => undefined))) {
    if (child.exitCode !== null) throw new Error(`server-everything ended with ${child.exitCode}`);
    await sleep(50);
  }
  return { url, close };
}
