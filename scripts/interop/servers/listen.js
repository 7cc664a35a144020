// Loopback listeners. The address of a listener is known before the listener gets a handler.

import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

// listen opens a port (0: any free port) and returns the origin and a function that sets the handler. tls contains options for TLS.
export async function listen(port = 0, tls = undefined) {
  let handler = (req, res) => res.writeHead(503).end();
  const answer = (req, res) => handler(req, res);
  const server = tls ? createSecureServer(tls, answer) : createServer(answer);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http${tls ? 's' : ''}://127.0.0.1:${server.address().port}`,
    serve(h) {
      handler = h;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

// asProcess runs a server as a separate process, so that the checks can restart the server.
export async function asProcess(url, spawn) {
  let child;
  const start = async () => {
    child = spawn();
    for (;;) {
      const got = await fetch(url).catch(() => undefined);
      await got?.body?.cancel();
      if (got) return;
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
      await sleep(50);
    }
  };
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  };
  const close = () => child.kill('SIGKILL');
  process.on('exit', close);
  await start();
  return { url, close, start, stop };
}
