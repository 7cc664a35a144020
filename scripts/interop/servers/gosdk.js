// The Go SDK's example server with all features, without authorization. The server supports revision 2026-07-28 and earlier revisions.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { asProcess, listen } from './listen.js';

const module = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const built = {};

// build compiles a Go program once, with the versions in the module's go.sum, and returns the path of the binary.
export function build(source) {
  if (!built[source]) {
    const folder = mkdtempSync(join(tmpdir(), 'interop-go-'));
    execFileSync('go', ['build', '-o', folder + '/', source], { cwd: module, stdio: ['ignore', 'ignore', 'inherit'] });
    built[source] = join(folder, source.split('/').pop());
  }
  return built[source];
}

export async function startGoSDK({ port = 0 } = {}) {
  const program = build('github.com/modelcontextprotocol/go-sdk/examples/server/everything');
  const free = await listen(port);
  free.close();
  return asProcess(`${free.origin}/mcp`, () => spawn(program, ['-http', new URL(free.origin).host], { stdio: 'ignore' }));
}
