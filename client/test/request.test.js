// What is sent.
import assert from 'node:assert/strict';
import { encryptionProvider } from 'keyhint-client';
import { failure, hint, key, problem, serve, session, takeTimers, test } from '../testkit/loopback.js';

test('a new session: exactly documentId and a null keyHint', async (t) => {
  const server = await serve(t, session);
  const keys = encryptionProvider({ url: server.url });
  assert.deepEqual(await keys({ documentId: 'doc-1', keyHint: null, key: 'x', rtcToken: 'x' }), { key, keyHint: hint });
  assert.deepEqual(server.bodies(), ['{"documentId":"doc-1","keyHint":null}']);
  assert.equal(server.requests[0].method, 'POST');
  assert.equal(server.requests[0].path, '/v1/key');
});

test('an earlier session: the hint as it is', async (t) => {
  const server = await serve(t, session);
  const keys = encryptionProvider({ url: new URL(server.url) });
  assert.deepEqual(await keys({ documentId: 'doc-1', keyHint: hint }), { key, keyHint: hint });
  assert.deepEqual(server.bodies(), [`{"documentId":"doc-1","keyHint":"${hint}"}`]);
});

test('an empty hint is sent, not taken for none', async (t) => {
  const server = await serve(t, problem(403, 'hint-mismatch'));
  const keys = encryptionProvider({ url: server.url });
  await failure(keys({ documentId: 'doc-1', keyHint: '' }), 403, 'urn:keyhint:hint-mismatch');
  assert.deepEqual(server.bodies(), ['{"documentId":"doc-1","keyHint":""}']);
});

test('ids arrive unchanged', async (t) => {
  const ids = ['é', 'e\u0301', '\u0000"\\/\n', '𝄞', ' ', ''];
  const server = await serve(t, session);
  const keys = encryptionProvider({ url: server.url });
  for (const documentId of ids) await keys({ documentId, keyHint: null });
  assert.deepEqual(server.bodies().map((body) => JSON.parse(body).documentId), ids);
});

test('anything but two strings, or a string and null, is an error and is not sent', async (t) => {
  const server = await serve(t, session);
  const keys = encryptionProvider({ url: server.url });
  const requests = [
    undefined, {}, { documentId: 'doc-1' }, { documentId: 'doc-1', keyHint: undefined }, { documentId: 'doc-1', keyId: null },
    { documentId: 'doc-1', keyHint: 1 }, { documentId: 'doc-1', keyHint: false }, { documentId: 'doc-1', keyHint: {} },
    { keyHint: null }, { documentId: null, keyHint: null }, { documentId: 1, keyHint: null },
  ];
  for (const request of requests) await failure(keys(request), 0, 'urn:keyhint:malformed-request');
  assert.deepEqual(server.bodies(), []);
});

test('a provider needs a url', () => {
  assert.throws(() => encryptionProvider({}), TypeError);
});

test('without a token the request needs no preflight', async (t) => {
  const server = await serve(t, session);
  await encryptionProvider({ url: server.url })({ documentId: 'doc-1', keyHint: null });
  assert.equal(server.requests[0].headers['content-type'], 'text/plain;charset=UTF-8');
  assert.equal(server.requests[0].headers.authorization, undefined);
});

test('a token is sent as a bearer token', async (t) => {
  const server = await serve(t, session);
  await encryptionProvider({ url: server.url, token: 'a.b-c_d~e+f/g==' })({ documentId: 'doc-1', keyHint: null });
  assert.equal(server.requests[0].headers.authorization, 'Bearer a.b-c_d~e+f/g==');
});

test('a token function is asked before every request, with the documentId', async (t) => {
  const server = await serve(t, problem(503, 'unavailable'), session);
  const timers = takeTimers(t);
  const asked = [];
  const token = async (...args) => `token-${asked.push(args)}`;
  const result = encryptionProvider({ url: server.url, token })({ documentId: 'doc-1', keyHint: null });
  await timers.fire(500);
  await result;
  assert.deepEqual(server.requests.map((request) => request.headers.authorization), ['Bearer token-1', 'Bearer token-2']);
  assert.deepEqual(asked, [['doc-1'], ['doc-1']]);
});

test('a token function may answer at once', async (t) => {
  const server = await serve(t, session);
  await encryptionProvider({ url: server.url, token: () => 'abc' })({ documentId: 'doc-1', keyHint: null });
  assert.equal(server.requests[0].headers.authorization, 'Bearer abc');
});

test('nothing is sent without the token that was promised', async (t) => {
  const server = await serve(t, session);
  for (const token of ['', null, 'Bearer abc', 'a\nb', () => undefined, async () => '', async () => ({ token: 'abc' })]) {
    const keys = encryptionProvider({ url: server.url, token });
    await failure(keys({ documentId: 'doc-1', keyHint: null }), 0, 'urn:keyhint:unauthenticated');
  }
  assert.deepEqual(server.bodies(), []);
});

test('an error of the token function is passed on', async (t) => {
  const server = await serve(t, session);
  const error = new Error('signed out');
  const keys = encryptionProvider({ url: server.url, token: async () => { throw error; } });
  await assert.rejects(keys({ documentId: 'doc-1', keyHint: null }), (actual) => actual === error);
  assert.deepEqual(server.bodies(), []);
});

test('credentials are as for fetch, and redirects are refused', async (t) => {
  const server = await serve(t, session);
  for (const credentials of ['include', 'omit', undefined]) {
    const calls = [];
    const recording = (...args) => {
      calls.push(args);
      return fetch(...args);
    };
    await encryptionProvider({ url: server.url, credentials, fetch: recording })({ documentId: 'doc-1', keyHint: null });
    const [[url, { signal, ...init }]] = calls;
    assert.equal(calls.length, 1);
    assert.equal(url, server.url);
    assert(signal instanceof AbortSignal);
    assert.deepEqual(init, { method: 'POST', body: '{"documentId":"doc-1","keyHint":null}', headers: {}, credentials, redirect: 'error' });
  }
});
