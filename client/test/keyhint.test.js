// Against a real keyhint.
import assert from 'node:assert/strict';
import nodeTest, { before } from 'node:test';
import { encryptionProvider } from 'keyhint-client';
import { failure, takeTimers } from '../testkit/loopback.js';
import { buildKeyhint, missing } from '../testkit/keyhint.js';

const test = (name, body) => nodeTest(name, { skip: missing, timeout: 30_000 }, body);
let start;
if (!missing) before(() => { start = buildKeyhint(); });

const hintForm = /^kh1\.1-[0-9a-f]{8}\.[0-9a-f-]{36}\.[\w-]{22}$/;

test('a new session, and the same key again after the server was killed', async (t) => {
  const first = await start(t);
  const session = await encryptionProvider({ url: first.url })({ documentId: 'doc-1', keyHint: null });
  assert.deepEqual(Object.keys(session), ['key', 'keyHint']);
  assert.match(session.key, /^[\w-]{43}$/);
  assert.match(session.keyHint, hintForm);
  await first.kill();

  const second = await start(t);
  const keys = encryptionProvider({ url: second.url });
  const { keyHint } = session;
  assert.deepEqual(await Promise.all([keys({ documentId: 'doc-1', keyHint }), keys({ documentId: 'doc-1', keyHint })]), [session, session]);
});

test('two begin at once, and end with one key', async (t) => {
  const { url } = await start(t);
  const [alice, bob] = [encryptionProvider({ url }), encryptionProvider({ url })];
  const documentId = 'é \u0000 "𝄞"';
  const sessions = await Promise.all([alice({ documentId, keyHint: null }), bob({ documentId, keyHint: null })]);
  assert.notEqual(sessions[0].key, sessions[1].key);
  assert.notEqual(sessions[0].keyHint, sessions[1].keyHint);
  const { keyHint } = sessions[1]; // wins
  assert.deepEqual(await Promise.all([alice({ documentId, keyHint }), bob({ documentId, keyHint })]), [sessions[1], sessions[1]]);
  assert.deepEqual(await alice({ documentId, keyHint: sessions[0].keyHint }), sessions[0]);
});

test('a token and credentials are no obstacle', async (t) => {
  const { url } = await start(t);
  const session = await encryptionProvider({ url, token: async () => 'abc', credentials: 'include' })({ documentId: 'doc-1', keyHint: null });
  assert.match(session.keyHint, hintForm);
});

test('refusals', async (t) => {
  const { url } = await start(t);
  const keys = encryptionProvider({ url });
  const { keyHint } = await keys({ documentId: 'doc-1', keyHint: null });

  const malformed = await failure(keys({ documentId: '', keyHint: null }), 400, 'urn:keyhint:malformed-request');
  assert.equal(malformed.detail, 'documentId must be 1 to 1024 bytes of UTF-8.');
  await failure(keys({ documentId: '\ud800', keyHint: null }), 400, 'urn:keyhint:malformed-request');
  const mismatch = await failure(keys({ documentId: 'doc-2', keyHint }), 403, 'urn:keyhint:hint-mismatch');
  assert.equal(mismatch.detail, 'The keyHint was not issued for this documentId. Send both exactly as they were when the key was issued.');
  await failure(keys({ documentId: 'doc-1', keyHint: '' }), 403, 'urn:keyhint:hint-mismatch');
  await failure(keys({ documentId: 'doc-1', keyHint: ` ${keyHint}` }), 403, 'urn:keyhint:hint-mismatch');
  await failure(keys({ documentId: 'x'.repeat(20_000), keyHint: null }), 413, 'urn:keyhint:body-too-large');
  await failure(encryptionProvider({ url: `${url}s` })({ documentId: 'doc-1', keyHint: null }), 404, 'about:blank');
});

test('a version that this replica does not know is asked for again when it says', async (t) => {
  const timers = takeTimers(t);
  const { url } = await start(t);
  const keys = encryptionProvider({ url, retries: 1 });
  const { keyHint } = await keys({ documentId: 'doc-1', keyHint: null });
  const unknown = { documentId: 'doc-1', keyHint: keyHint.replace('kh1.1-', 'kh1.7-') };
  const result = failure(keys(unknown), 409, 'urn:keyhint:version-unknown');
  await timers.fire(5500); // Retry-After, and half a second of jitter
  assert.equal((await result).detail, 'The keyHint names a master key that this replica does not know yet. Try again soon.');
});
