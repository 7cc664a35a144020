// Loopback listeners whose address is known before there is anything to serve.

import { createServer } from 'node:http';
import { once } from 'node:events';

// listen opens a port (0: a free one) and returns its origin; serve sets the handler.
export async function listen(port = 0) {
  let handler = (req, res) => res.writeHead(503).end();
  const server = createServer((req, res) => handler(req, res));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    serve(h) {
      handler = h;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
