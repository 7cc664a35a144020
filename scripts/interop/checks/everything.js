// Calls the tools of the MCP project's test server, which return text, images, errors and structured content, or send an elicitation.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { until } from './harness.js';

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
    'resources of both kinds, completed from what was seen': async () => {
      const { json } = await mcpauth(`resources ${server.url} --json`);
      assert.ok(json.resources.length > 0 && json.resourceTemplates.length > 0);
      const uri = json.resources[0].uri;
      assert.ok((await mcpauth(`read ${server.url} ${uri}`)).stdout.length > 100);
      assert.match((await mcpauth(`__complete read ${server.url} ${uri.slice(0, -1)}`)).stdout, new RegExp(`^${uri}\\t`, 'm'));
    },
    'a resource of bytes, saved': async () => {
      const folder = join(mcpauth.home, 'blobs');
      await mcpauth(`read ${server.url} demo://resource/dynamic/blob/7 --save-dir ${folder}`);
      assert.match(readFileSync(join(folder, readdirSync(folder)[0]), 'utf8'), /Resource 7/);
    },
    'a prompt with arguments': async () => assert.match((await mcpauth(`prompt ${server.url} args-prompt city=Oslo`)).stdout, /weather in Oslo/),
    'a tool that demands a task (2025-11-25) is followed, and its question answered': async () => {
      writeFileSync(join(mcpauth.home, 'meaning.json'), JSON.stringify({ interpretation: 'historical' }));
      const { stdout, stderr } = await call('simulate-research-query topic=bees ambiguous=true --elicit @meaning.json');
      assert.match(stdout, /Topic\*\*: bees/);
      assert.match(stdout, /historical/);
      assert.match(stderr, /multiple interpretations/);
    },
    'such a task, left alone and fetched later by another process': async () => {
      const id = (await call('simulate-research-query topic=wasps --detach')).stdout.trim();
      assert.match((await mcpauth(`task ${server.url}`)).stdout, new RegExp(`${id} .*simulate-research-query .*working`));
      assert.match((await mcpauth(`__complete task ${server.url} ${id.slice(0, 4)}`)).stdout, new RegExp(`^${id}\t`));
      const state = async () => (await mcpauth(`task ${server.url} ${id} --no-wait`)).stdout.trim();
      assert.equal(await state(), 'working');
      await until('the end of the task', async () => (await state()) === 'completed');
      assert.match((await mcpauth(`task ${server.url} ${id}`)).stdout, /Topic\*\*: wasps/);
      assert.match((await mcpauth(`task ${server.url}`)).stderr, /no tasks/);
    },
    'such a task at the time limit, and after it': async () => {
      const { stderr } = await call('simulate-research-query topic=ants --timeout 500ms', { code: 5 });
      const [, id] = stderr.match(/^hint: .*mcpauth task \S+ (\S+)$/m);
      assert.match((await mcpauth(`task ${server.url} ${id}`)).stdout, /Topic\*\*: ants/);
    },
    'such a task, cancelled': async () => {
      const id = (await call('simulate-research-query topic=moths --detach')).stdout.trim();
      await mcpauth(`task ${server.url} ${id} --cancel`);
      assert.match((await mcpauth(`task ${server.url}`)).stderr, /no tasks/);
      assert.match((await mcpauth(`task ${server.url} ${id}`, { code: 3 })).stderr, /was cancelled/);
    },
    progress: async () => assert.match((await call('trigger-long-running-operation duration=1 steps=2')).stdout, /completed/),
  };
}
