// Simulates a user with a browser: follows redirects, stores cookies, fills in forms and presses the first button of a form.
//
//   browser [--deny] [--print] ADDRESS
//
// --deny: follow the link that denies consent instead of submitting the form. --print: print the URL of mcpauth's callback to stdout
// instead of opening the URL. INTEROP_COOKIES: a file that stores the cookies for the next login. A provider may use one grant for all
// logins with the same cookies.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request as plain } from 'node:http';
import { request as secure } from 'node:https';
import { text } from 'node:stream/consumers';

const args = process.argv.slice(2);
const deny = args.includes('--deny');
let denied = false;
const print = args.includes('--print');
let request = { url: args.at(-1) };

const kept = process.env.INTEROP_COOKIES;
const cookies = kept && existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : {}; // origin -> name -> value

// open navigates to a URL with the cookies of its origin, and stores new cookies. open does not use fetch, because fetch marks its requests
// as requests of a script, and mcpauth's callback rejects such requests.
async function open({ url, form }) {
  const { origin } = new URL(url);
  const jar = (cookies[origin] ??= {});
  const body = form?.toString();
  const headers = { accept: 'text/html', cookie: Object.entries(jar).map((c) => c.join('=')).join('; '), 'sec-fetch-mode': 'navigate' };
  if (body !== undefined) Object.assign(headers, { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) });
  const res = await new Promise((resolve, reject) => {
    (url.startsWith('https:') ? secure : plain)(url, { method: body === undefined ? 'GET' : 'POST', headers, agent: false }, resolve).on('error', reject).end(body);
  });
  for (const line of res.headers['set-cookie'] ?? []) {
    const [name, value] = line.split(';')[0].split(/=(.*)/s);
    if (value) jar[name] = value;
    else delete jar[name];
  }
  if (kept) writeFileSync(kept, JSON.stringify(cookies), { mode: 0o600 });
  return { status: res.statusCode, location: res.headers.location, body: await text(res) };
}

const unescape = (s) => s.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
const attribute = (tag, name) => {
  const value = new RegExp(`\\s${name}="([^"]*)"`, 'i').exec(tag)?.[1];
  return value === undefined ? undefined : unescape(value);
};

// next returns the next action of a user on a page, or undefined.
function next(page, url) {
  const refuse = deny && /<a\s[^>]*href="([^"]*\/abort)"/i.exec(page);
  if (refuse) {
    denied = true;
    return { url: new URL(unescape(refuse[1]), url).href };
  }
  const form = !denied && /<form\b[^>]*>/i.exec(page);
  if (!form) return undefined;
  const end = page.indexOf('</form>', form.index);
  const fields = new URLSearchParams();
  for (const [input] of page.slice(form.index, end).matchAll(/<input\b[^>]*>/gi)) {
    const name = attribute(input, 'name');
    if (name) fields.set(name, attribute(input, 'value') ?? 'interop');
  }
  return { url: new URL(attribute(form[0], 'action') ?? '', url).href, form: fields };
}

for (let steps = 0; request; steps++) {
  if (steps > 20) throw new Error(`no end in sight at ${request.url}`);
  const { url } = request;
  if (print && new URL(url).pathname === '/callback') {
    console.log(url);
    break;
  }
  const { status, location, body } = await open(request);
  if (status >= 400) {
    console.error(`browser: ${new URL(url).origin}${new URL(url).pathname} answered ${status}`);
    process.exit(1);
  }
  request = location ? { url: new URL(location, url).href } : next(body, url);
}
