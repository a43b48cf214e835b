// The examples of README.md do what it says, with stand-ins for what they import.
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import nodeTest, { before } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { encryptionProvider, KeyhintError } from 'keyhint-client';
import { buildKeyhint, missing, temporaryFolder } from '../testkit/keyhint.js';

const test = (name, body) => nodeTest(name, { skip: missing, timeout: 30_000 }, body);
let start;
if (!missing) before(() => { start = buildKeyhint(); });

globalThis.crypto ??= webcrypto; // for Node 18

const client = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(client, 'README.md'), 'utf8');
const folder = temporaryFolder();
const install = (name, source) => {
  const target = join(folder, 'node_modules', name);
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, 'package.json'), '{"type":"module","exports":"./index.js"}');
  writeFileSync(join(target, 'index.js'), source);
};
// A document is a list of updates.
install('yjs', `export const applyUpdate = (doc, update, origin) => doc.apply(Buffer.from(update).toString(), origin);`);
install('livekit-client', `
  export const calls = [];
  export class ExternalE2EEKeyProvider { async setKey(key) { calls.push(['setKey', key]); } }
  export class Room {
    constructor(options) { calls.push(['Room', options]); }
    async setE2EEEnabled(on) { calls.push(['setE2EEEnabled', on]); }
    async connect(...args) { calls.push(['connect', ...args]); }
  }`);
symlinkSync(client, join(folder, 'node_modules', 'keyhint-client'));

/** Imports the first example below a heading, with another endpoint. */
async function example(heading, url) {
  const section = readme.split(/^#+ /m).find((text) => text.startsWith(`${heading}\n`));
  const [, code] = /^```js\n(.*?)^```$/ms.exec(section);
  const file = join(folder, `${heading}.mjs`);
  writeFileSync(file, code.replace('https://keys.example.com/v1/key', url));
  return import(pathToFileURL(file));
}

test('the first example, with what it has in its variables', async (t) => {
  const { url } = await start(t);
  const section = readme.split('```js\n')[1].split('```')[0];
  const file = join(folder, 'first.mjs');
  writeFileSync(file, `${section.replace('https://keys.example.com/v1/key', url)}\nexport { opened, joined };`);
  const { opened, joined } = await import(pathToFileURL(file));
  assert.match(opened.key, /^[\w-]{43}$/);
  assert.deepEqual(joined, opened);
});

test('TinyMCE', async (t) => {
  const { url } = await start(t);
  const requests = [];
  const { fetch } = globalThis;
  t.mock.method(globalThis, 'fetch', async (address, init) => {
    requests.push([address, init?.headers]);
    return address.startsWith('/') ? new Response('to.ke.n') : fetch(address, init);
  });
  let settings;
  globalThis.tinymce = { init: (given) => { settings = given; } };
  await example('With TinyMCE', url);
  assert.equal(settings.plugins, 'rtc');
  const session = await settings.rtc_encryption_provider({ documentId: 'doc/1', keyHint: null });
  assert.deepEqual(await settings.rtc_encryption_provider({ documentId: 'doc/1', keyHint: session.keyHint }), session);
  const both = [['/key-token?document=doc%2F1', undefined], [url, { Authorization: 'Bearer to.ke.n' }]];
  assert.deepEqual(requests, [...both, ...both]);
});

test('Yjs', async (t) => {
  const { url } = await start(t);
  const { openSession, seal, unseal, connect } = await example('With Yjs', url);
  const stored = new Map();
  const sessions = {
    get: async (id) => stored.get(id),
    add: async (id, session) => stored.get(id) ?? (stored.set(id, session), session),
  };
  const keys = () => encryptionProvider({ url });
  // Two begin at once, a third comes later, and another has another document.
  const [alice, bob] = await Promise.all([openSession(keys(), sessions, 'doc-1'), openSession(keys(), sessions, 'doc-1')]);
  const carol = await openSession(keys(), sessions, 'doc-1');
  const mallory = await openSession(keys(), sessions, 'doc-2');
  const update = Buffer.from('typed by Alice');
  const sealed = await seal(alice, update);
  assert.equal(sealed.length, 12 + update.length + 16);
  assert(!Buffer.from(sealed).includes('Alice'));
  assert.notDeepEqual(await seal(alice, update), sealed);
  for (const aes of [alice, bob, carol]) assert.equal(Buffer.from(await unseal(aes, sealed)).toString(), 'typed by Alice');
  await assert.rejects(unseal(mallory, sealed));
  await assert.rejects(unseal(bob, sealed.map((byte, n) => (n === 13 ? byte ^ 1 : byte))));

  class Doc {
    updates = [];
    listeners = [];
    on(name, listener) {
      assert.equal(name, 'update');
      this.listeners.push(listener);
    }
    apply(text, origin) {
      this.updates.push(text);
      for (const listener of this.listeners) listener(Buffer.from(text), origin);
      this.changed?.();
    }
  }
  const sent = [];
  const join = (aes) => {
    const member = { doc: new Doc() };
    const relay = { send: (bytes) => { sent.push(bytes); for (const other of members) if (other !== member) other.relay.onmessage(bytes); } };
    connect(member.doc, relay, aes, (error) => { throw error; });
    return Object.assign(member, { relay });
  };
  const members = [join(alice), join(bob)];
  const arrived = new Promise((resolve) => { members[1].doc.changed = resolve; });
  members[0].doc.apply('typed by Alice', 'keyboard');
  await arrived;
  assert.deepEqual(members.map((member) => member.doc.updates), [['typed by Alice'], ['typed by Alice']]);
  await new Promise(setImmediate);
  assert.equal(sent.length, 1); // what came from the relay does not go back to it
});

test('LiveKit', async (t) => {
  const { url } = await start(t);
  const keys = encryptionProvider({ url });
  const { joinCall } = await example('With LiveKit', url);
  const { calls, ExternalE2EEKeyProvider } = await import(pathToFileURL(join(folder, 'node_modules/livekit-client/index.js')));
  globalThis.Worker = class { constructor(script) { this.script = script; } };
  const session = await keys({ documentId: 'call', keyHint: null });
  await joinCall(keys, { name: 'call', keyHint: session.keyHint, url: 'wss://livekit.example.com', token: 'token' });
  const [[, { encryption }], ...rest] = calls;
  assert(encryption.keyProvider instanceof ExternalE2EEKeyProvider);
  assert.match(encryption.worker.script.href, /livekit-client\/e2ee-worker$/);
  assert.deepEqual(rest, [['setKey', session.key], ['setE2EEEnabled', true], ['connect', 'wss://livekit.example.com', 'token']]);
});

test("a scheme of one's own", async (t) => {
  const { url } = await start(t);
  const { wrapNewKey, unwrap } = await example('Your own scheme', url);
  const { key } = await encryptionProvider({ url })({ documentId: 'doc-1', keyHint: null });
  const stored = await wrapNewKey(key);
  assert.equal(stored.wrapped.byteLength, 32 + 16);
  const [alice, bob] = [await unwrap(key, stored), await unwrap(key, stored)];
  assert.equal(alice.extractable, false);
  const iv = new Uint8Array(12);
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, alice, Buffer.from('hello'));
  assert.equal(Buffer.from(await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, bob, sealed)).toString(), 'hello');
  await assert.rejects(unwrap('A'.repeat(43), stored));
});

test('errors', async (t) => {
  const { url } = await start(t);
  const { explain } = await example('Errors', url);
  const error = await encryptionProvider({ url })({ documentId: '', keyHint: null }).catch((error) => error);
  assert.equal(explain(error), 'documentId must be 1 to 1024 bytes of UTF-8. (400)');
  assert.match(explain(new KeyhintError(0, 'urn:keyhint:timeout', 'x')), /cannot be reached/);
  assert.match(explain(new KeyhintError(403, 'urn:keyhint:access-denied', 'x')), /owner/);
  const other = new Error('other');
  assert.throws(() => explain(other), (thrown) => thrown === other);
});
