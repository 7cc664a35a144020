// MCP clients use a server without authorization through mcpauth proxy. All features work as without the proxy, and clients do not notice
// a restart of the server.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { clients } from './clients.js';
import { until } from './harness.js';

// servers contains the parameters of the checks for each server. A server is not checked for features that it does not support.
const servers = {
  everything: {
    echo: ['echo', { message: 'hello' }, /Echo: hello/],
    prompt: ['simple-prompt', {}, /./],
    resource: 'demo://resource/static/document/features.md',
    completion: [{ type: 'ref/prompt', name: 'completable-prompt' }, { name: 'department', value: 'Eng' }, 'Engineering'],
    sampling: ['trigger-sampling-request', { prompt: 'x' }, /a sampled word/],
    elicitation: ['trigger-elicitation-request', {}, /an elicited word/],
    roots: ['get-roots-list', {}, /a root|file:\/\/\/interop/],
    long: (seconds) => ['trigger-long-running-operation', { duration: seconds, steps: 4 }],
    subscription: ['demo://resource/dynamic/text/1', 'toggle-subscriber-updates'],
    level: true,
  },
  gosdk: {
    echo: ['greet', { name: 'hello' }, /Hi hello/],
    prompt: ['greet', { name: 'Ann' }, /Ann/],
    resource: 'embedded:info',
    completion: [{ type: 'ref/prompt', name: 'greet' }, { name: 'name', value: 'An' }, 'Anx'],
    sampling: ['sample', {}, /a sampled word/],
    elicitation: ['elicit (form)', {}, /an elicited word/],
    roots: ['roots', {}, /a root/],
    logging: 'log',
  },
};

export const proxyChecks = (kind) => (server, mcpauth) => {
  const all = {};
  for (const name of Object.keys(clients)) {
    for (const [check, run] of Object.entries(checksOf(kind, server, clients[name], mcpauth))) all[`${name}: ${check}`] = run;
  }
  return all;
};

function checksOf(kind, server, connect, mcpauth) {
  const does = servers[kind];
  let c;
  let modern;
  const legacyOnly = (check) => async () => modern || check();
  const checks = {
    connect: async () => {
      c = await connect({ command: process.env.MCPAUTH_BIN, args: ['proxy', server.url, '--verbose'], env: mcpauth.env });
      modern = c.client.getProtocolEra?.() === 'modern';
      assert.ok(c.client.getServerVersion().name);
    },
    tools: async () => {
      const { tools } = await c.client.listTools();
      assert.ok(tools.some((t) => t.name === does.echo[0]));
      assert.match(await c.text(...does.echo), does.echo[2]);
    },
    'fifty calls at once': async () => {
      const texts = await Promise.all(Array.from({ length: 50 }, () => c.text(...does.echo)));
      texts.forEach((text) => assert.match(text, does.echo[2]));
    },
    'an error of a tool that is not there': async () => {
      const got = await c.client.callTool({ name: 'none', arguments: {} }).catch((err) => ({ isError: /none|not found|unknown/i.test(err.message) }));
      assert.ok(got.isError);
    },
    prompts: async () => {
      const { prompts } = await c.client.listPrompts();
      assert.ok(prompts.some((p) => p.name === does.prompt[0]));
      const { messages } = await c.client.getPrompt({ name: does.prompt[0], arguments: does.prompt[1] });
      assert.match(messages[0].content.text, does.prompt[2]);
    },
    resources: async () => {
      assert.ok((await c.client.listResources()).resources.length > 0);
      assert.ok((await c.client.listResourceTemplates()).resourceTemplates.length > 0);
      const { contents } = await c.client.readResource({ uri: does.resource });
      assert.ok(contents[0].text.length > 0);
    },
    completion: async () => {
      const [ref, argument, want] = does.completion;
      assert.ok((await c.client.complete({ ref, argument })).completion.values.includes(want));
    },
  };
  for (const question of ['sampling', 'elicitation', 'roots']) {
    const [tool, args, want] = does[question];
    checks[question] = legacyOnly(async () => assert.match(await c.text(tool, args), want));
  }
  if (does.logging) {
    checks.logging = legacyOnly(async () => {
      await c.client.setLoggingLevel('debug');
      await c.call(does.logging);
      await until('a log message', () => c.heard.some((n) => n.method === 'notifications/message'));
    });
  }
  if (does.long) {
    checks.progress = async () => {
      const seen = [];
      assert.match(await c.text(...does.long(0.2), { onprogress: (p) => seen.push(p.progress) }), /completed/);
      assert.ok(seen.length >= 3, `progress ${seen}`);
    };
    checks.cancellation = async () => {
      const stop = new AbortController();
      const call = c.call(...does.long(20), { onprogress: () => stop.abort('enough'), signal: stop.signal });
      await assert.rejects(call, /enough|abort/i);
      assert.match(await c.text(...does.echo), does.echo[2]);
    };
  }
  const updated = () => c.heard.filter((n) => n.method === 'notifications/resources/updated').length;
  if (does.subscription) {
    checks.subscription = async () => {
      await c.client.subscribeResource({ uri: does.subscription[0] });
      await c.call(does.subscription[1]);
      await until('an update', () => updated() > 0);
    };
  }
  checks['a restart of the server is not noticed'] = async () => {
    await server.stop();
    await server.start();
    assert.match(await c.text(...does.echo), does.echo[2]);
  };
  if (does.subscription) {
    checks['the subscription outlives the restart'] = async () => {
      const before = updated();
      await c.call(does.subscription[1]);
      await until('an update', () => updated() > before);
    };
  }
  checks['a server that is gone is an error, not silence'] = async () => {
    await server.stop();
    try {
      await assert.rejects(Promise.race([c.client.listPrompts(), sleep(10_000)]), /127.0.0.1/);
    } finally {
      await server.start();
    }
    assert.match(await c.text(...does.echo), does.echo[2]);
  };
  checks['the proxy ends with its client'] = async () => {
    const ended = new Promise((resolve) => c.child.on('close', resolve));
    const begun = Date.now();
    await c.client.close();
    assert.equal(await Promise.race([ended, sleep(10_000, 'never')]), 0);
    assert.ok(Date.now() - begun < 5000, 'it took too long');
  };
  const { connect: first, ...rest } = checks;
  const connected = ([name, check]) => [name, () => (assert.ok(c, 'there is no connection'), check())];
  return { connect: first, ...Object.fromEntries(Object.entries(rest).map(connected)) };
}
