// What passes for an answer, and how refusals come out.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { encryptionProvider } from 'keyhint-client';
import { answer, failure, hint, json, key, problem, serve, session, takeTimers, test } from '../testkit/loopback.js';

const issue = { documentId: 'doc-1', keyHint: null };
const resolve = { documentId: 'doc-1', keyHint: hint };

/** Asserts that a 200 is refused, after one request, without showing the key. */
async function refused(t, given, request = issue) {
  takeTimers(t);
  const server = await serve(t, given);
  const error = await failure(encryptionProvider({ url: server.url })(request), 200, 'urn:keyhint:bad-answer');
  assert.equal(server.requests.length, 1);
  assert(!inspect(error, { depth: Infinity }).includes(key.slice(0, 5)), 'the error shows the key');
}

test('types of JSON are taken with parameters and in any case', async (t) => {
  for (const type of ['application/json', 'application/json;charset=utf-8', 'Application/JSON ; charset=UTF-8']) {
    const server = await serve(t, answer(200, { 'Content-Type': type }, JSON.stringify({ key, keyHint: hint, more: 1 })));
    assert.deepEqual(await encryptionProvider({ url: server.url })(issue), { key, keyHint: hint });
  }
});

const sessionText = JSON.stringify({ key, keyHint: hint });
const others = {
  'another type': 'text/plain', 'a problem document': 'application/problem+json', 'a longer type': 'application/json-seq', 'text/json': 'text/json',
  'a type within another': 'text/html; application/json',
};
for (const [name, type] of Object.entries(others)) {
  test(`a 200 of ${name} is refused`, (t) => refused(t, answer(200, { 'Content-Type': type }, sessionText)));
}
test('a 200 without a type is refused', (t) => refused(t, answer(200, {}, sessionText)));

const portal = '<!DOCTYPE html><title>Welcome to the airport</title><a href="/login">Log in</a>';
test('a captive portal with status 200 is refused', (t) => refused(t, answer(200, { 'Content-Type': 'text/html' }, portal)));
test('a captive portal that calls itself JSON is refused', (t) => refused(t, json(portal)));

const truncated = (headers) => (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', ...headers });
  response.write(sessionText.slice(0, 30), () => response.destroy());
};
test('a body that is cut off before its length is refused', (t) => refused(t, truncated({ 'Content-Length': sessionText.length })));
test('a body that is cut off between chunks is refused', (t) => refused(t, truncated({})));
test('a body that ends too early by its own length is refused', (t) => refused(t, json(sessionText.slice(0, -1))));
test('an answer with rubbish around the key is refused', (t) => refused(t, json(`"${key}"x`)));
test('an empty answer is refused', (t) => refused(t, json('')));

const bad = {
  'no key': { keyHint: hint }, 'a null key': { key: null, keyHint: hint }, 'a key of 42 characters': { key: key.slice(1), keyHint: hint },
  'a key of 44 characters': { key: `${key}A`, keyHint: hint }, 'a padded key': { key: `${key}=`, keyHint: hint },
  'a key with a line end': { key: `${key}\n`, keyHint: hint }, 'a key in standard base64': { key: `+${key.slice(1)}`, keyHint: hint },
  'a key in an array': { key: [key], keyHint: hint }, 'a key under another name': { Key: key, keyHint: hint }, 'no hint': { key },
  'an empty hint': { key, keyHint: '' }, 'a null hint': { key, keyHint: null }, 'a hint that is a number': { key, keyHint: 7 },
  'a hint under the name of the examples': { key, keyId: hint }, 'an array': [{ key, keyHint: hint }], null: null, 'a string': 'key', 'a number': 7,
};
for (const [name, body] of Object.entries(bad)) {
  test(`a 200 with ${name} is refused`, (t) => refused(t, json(body)));
}

test('the answer to another hint is refused', (t) => refused(t, json({ key, keyHint: hint.replace('X2Xk', 'AAAA') }), resolve));
test('a hint is not compared with an empty one', (t) => refused(t, session, { documentId: 'doc-1', keyHint: '' }));

test('refusals carry status, type and detail, and are not repeated', async (t) => {
  takeTimers(t);
  const cases = [
    [400, 'malformed-request'], [401, 'unauthenticated'], [403, 'access-denied'], [403, 'hint-mismatch'], [403, 'key-unavailable'],
    [403, 'hint-expired'], [413, 'body-too-large'], [415, 'unsupported-media-type'],
  ];
  for (const [status, name] of cases) {
    const server = await serve(t, problem(status, name));
    const error = await failure(encryptionProvider({ url: server.url })(issue), status, `urn:keyhint:${name}`);
    assert.equal(error.detail, `Detail of ${name}.`);
    assert.equal(server.requests.length, 1);
  }
});

test('other statuses are refusals too, whatever the body says, and are not repeated', async (t) => {
  takeTimers(t);
  for (const status of [201, 202, 204, 206, 304, 400, 404, 408, 425, 500, 502, 504]) {
    const server = await serve(t, answer(status, { 'Content-Type': 'application/json' }, [204, 304].includes(status) ? '' : sessionText));
    const error = await failure(encryptionProvider({ url: server.url })(issue), status, 'about:blank');
    assert.equal(error.detail, `The key endpoint answered with status ${status}.`);
    assert.equal(server.requests.length, 1);
  }
});

test('what is no proper problem document counts for its status', async (t) => {
  const type = { 'Content-Type': 'application/problem+json' };
  const cases = [
    answer(403, { 'Content-Type': 'text/html' }, '{"type":"urn:x","detail":"y"}'), answer(403, type, '<p>'), answer(403, type, 'null'),
    answer(403, type, '{"type":1,"detail":{}}'), answer(403, type, '{"type":"","detail":""}'), answer(403, type, '{'),
  ];
  for (const given of cases) {
    const server = await serve(t, given);
    const error = await failure(encryptionProvider({ url: server.url })(issue), 403, 'about:blank');
    assert.equal(error.detail, 'The key endpoint answered with status 403.');
  }
});

test('redirects are not followed', async (t) => {
  takeTimers(t);
  for (const status of [301, 302, 303, 307, 308]) {
    const login = await serve(t, session);
    const server = await serve(t, answer(status, { Location: login.url }));
    await failure(encryptionProvider({ url: server.url, token: 'abc' })(issue), 0, 'urn:keyhint:no-answer');
    assert.equal(server.requests.length, 1);
    assert.equal(login.requests.length, 0);
  }
});

test('a connection that is refused or breaks is no answer, with its cause, and is not repeated', async (t) => {
  takeTimers(t);
  const server = await serve(t, (response) => response.destroy());
  const error = await failure(encryptionProvider({ url: server.url })(issue), 0, 'urn:keyhint:no-answer');
  assert(error.cause instanceof TypeError);
  assert.equal(server.requests.length, 1);
  server.close();
  const refusal = await failure(encryptionProvider({ url: server.url })(issue), 0, 'urn:keyhint:no-answer');
  assert.equal(refusal.cause.cause.code, 'ECONNREFUSED');
});
