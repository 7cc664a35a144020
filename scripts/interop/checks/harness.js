// Functions that all checks use: a user with a temporary home folder who runs mcpauth, and a runner that prints one line per check.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const browser = join(dirname(fileURLToPath(import.meta.url)), '..', 'browser');

// person returns a function that runs mcpauth with an empty home folder. The function's member browse runs the browser of the same user.
// Both functions resolve to { code, stdout, stderr, json } and fail if the exit code is unexpected. Options: code (the expected exit code,
// default 0), env, stdin, line (called with each line of stderr), secret (the output is secret), kill (called with the process).
export function person() {
  const home = mkdtempSync(join(tmpdir(), 'interop-'));
  const env = {
    PATH: process.env.PATH, HOME: home, BROWSER: browser, INTEROP_COOKIES: join(home, 'cookies.json'),
    MCPAUTH_STATE_DIR: join(home, 'state'), MCPAUTH_KEYSTORE: 'file', MCPAUTH_KEYSTORE_DIR: join(home, 'credentials'),
  };
  const mcpauth = async (args, { secret, ...o } = {}) => {
    const done = await command(process.env.MCPAUTH_BIN, args.split(' '), { cwd: home, ...o, env: { ...env, ...o.env } });
    transcript.text += secret ? '' : done.stdout + done.stderr;
    return done;
  };
  const browse = (args) => command(browser, args, { env: { ...process.env, ...env } });
  return Object.assign(mcpauth, { home, env, browse });
}

// transcript collects the output of all mcpauth commands since run started.
export const transcript = { text: '' };

// command runs a program until it ends.
export async function command(program, args, { code = 0, env, cwd, stdin = '', line, kill } = {}) {
  const child = spawn(program, args, { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (chunk) => {
      const before = out[name].lastIndexOf('\n') + 1;
      out[name] += chunk;
      if (line && name === 'stderr') out[name].slice(before).split('\n').slice(0, -1).forEach(line);
    });
  }
  child.stdin.on('error', () => {}).end(stdin);
  kill?.(child);
  const timer = setTimeout(() => child.kill(), 30_000);
  const got = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  clearTimeout(timer);
  assert.equal(got, code, `exit code ${got}, expected ${code}: mcpauth ${args.join(' ')}\n${out.stdout}${out.stderr}`);
  return { ...out, code: got, get json() { return JSON.parse(out.stdout); } };
}

// until waits until a condition is true.
export async function until(what, condition) {
  for (let i = 0; i < 200; i++) {
    if (await condition()) return;
    await sleep(50);
  }
  assert.fail(`in vain: ${what}`);
}

// run runs checks in order, { 'description': async () => … }. A check may depend on the results of earlier checks.
export async function run(server, checks) {
  const count = { passed: 0, failed: 0 };
  transcript.text = '';
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      count.passed++;
      console.log(`ok   ${server}: ${name}`);
    } catch (err) {
      count.failed++;
      console.log(`FAIL ${server}: ${name}\n${err.stack.replace(/^/gm, '     ')}`);
    }
  }
  return count;
}
