// Runs mcpauth (MCPAUTH_BIN) against each server and prints one line per check.

import { startEnterprise } from './servers/enterprise.js';
import { startEverything } from './servers/everything.js';
import { startMutualTLS } from './servers/oidc-mtls.js';
import { startGoSDK } from './servers/gosdk.js';
import { startOIDC } from './servers/oidc.js';
import { startSDK } from './servers/sdk.js';
import { enterpriseChecks } from './checks/enterprise.js';
import { everythingChecks } from './checks/everything.js';
import { goClientChecks } from './checks/goclient.js';
import { oidcChecks } from './checks/oidc.js';
import { oidcFaultChecks } from './checks/oidc-faults.js';
import { oidcGrantChecks } from './checks/oidc-grants.js';
import { oidcPushedChecks } from './checks/oidc-pushed.js';
import { mutualTLSChecks } from './checks/oidc-mtls.js';
import { listenChecks } from './checks/listen.js';
import { proxyChecks } from './checks/proxy.js';
import { sdkChecks } from './checks/sdk.js';
import { person, run } from './checks/harness.js';

console.info = console.warn = () => {}; // hide the provider's warnings about production use

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

const sets = {
  oidc: [startOIDC, oidcChecks, oidcGrantChecks, oidcFaultChecks, oidcPushedChecks],
  'oidc, mtls': [startMutualTLS, mutualTLSChecks],
  enterprise: [startEnterprise, enterpriseChecks],
  sdk: [startSDK, sdkChecks, listenChecks],
  everything: [startEverything, everythingChecks],
  'proxy, everything': [startEverything, proxyChecks('everything'), goClientChecks('everything')],
  'proxy, gosdk': [startGoSDK, proxyChecks('gosdk'), goClientChecks('gosdk')],
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(sets);
const unknown = names.find((name) => !sets[name]);
if (unknown) {
  console.error(`run: no server ${unknown}; there are ${Object.keys(sets).join(', ')}`);
  process.exit(2);
}

const total = { passed: 0, failed: 0 };
for (const name of names) {
  const [start, ...lists] = sets[name];
  for (const list of lists) {
    const server = await start(list.server);
    const { passed, failed } = await run(name, await list(server, person()));
    server.close();
    total.passed += passed;
    total.failed += failed;
  }
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
