// What tools answer, at the protocol's own test server: text, a picture, an error, structured content, questions.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function everythingChecks(server, mcpauth) {
  const call = (rest, o) => mcpauth(`call ${server.url} ${rest}`, o);
  return {
    'tools, without a login': async () => assert.match((await mcpauth(`tools ${server.url}`)).stdout, /echo/),
    'tools TOOL': async () => assert.match((await mcpauth(`tools ${server.url} get-sum`)).stdout, /\ba\b/),
    text: async () => assert.equal((await call('echo message=hello')).stdout.trim(), 'Echo: hello'),
    'numbers by the schema': async () => assert.match((await call('get-sum a=2 b=40')).stdout, /42/),
    'a number that is none is refused before the call is sent': () => call('get-sum a=two b=40', { code: 3 }),
    picture: async () => {
      const { json } = await call('get-tiny-image --json');
      const picture = json.content.find((c) => c.type === 'image');
      assert.equal(picture.mimeType, 'image/png');
      assert.match(Buffer.from(picture.data, 'base64').toString('latin1'), /^\x89PNG/);
    },
    'picture, saved': async () => {
      const folder = join(mcpauth.home, 'pictures');
      const { stdout } = await call(`get-tiny-image --save-dir ${folder}`);
      assert.match(stdout, /image/);
      const files = readdirSync(folder);
      assert.equal(files.length, 1);
      assert.match(readFileSync(join(folder, files[0]), 'latin1'), /^\x89PNG/);
    },
    'links are named on stderr': async () => assert.match((await call('get-resource-links count=2')).stderr, /demo:\/\/resource/),
    'structured content': async () => {
      const { json } = await call('get-structured-content --json location=Chicago');
      assert.equal(typeof json.structuredContent.temperature, 'number');
    },
    'tool error': () => call('get-structured-content --args {"location":"Atlantis"}', { code: 3 }),
    'unknown tool': () => call('no-such-tool', { code: 3 }),
    'a question declined': async () => {
      const { stdout, stderr } = await call('trigger-elicitation-request');
      assert.match(stdout, /declined/);
      assert.match(stderr, /--elicit/);
    },
    'a question answered from a file': async () => {
      writeFileSync(join(mcpauth.home, 'answer.json'), JSON.stringify({ name: 'Ann' }));
      const { stdout } = await call('trigger-elicitation-request --elicit @answer.json');
      assert.match(stdout, /Name: Ann/);
    },
    progress: async () => assert.match((await call('trigger-long-running-operation duration=1 steps=2')).stdout, /completed/),
  };
}
