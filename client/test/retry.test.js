// What is asked again, when, and for how long.
import assert from 'node:assert/strict';
import { encryptionProvider } from 'keyhint-client';
import { answer, failure, hint, key, problem, serve, session, silence, takeTimers, test } from '../testkit/loopback.js';

const issue = { documentId: 'doc-1', keyHint: null };
const resolve = { documentId: 'doc-1', keyHint: hint };
const issueBody = '{"documentId":"doc-1","keyHint":null}';
const resolveBody = `{"documentId":"doc-1","keyHint":"${hint}"}`;

// With jitter at half of its most, the pauses are 500, 1,000 and 2,000 ms, on
// top of Retry-After.

test('409 and then 200: the same request again after Retry-After', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(409, 'version-unknown', { 'Retry-After': '5' }), session);
  const result = encryptionProvider({ url: server.url })(resolve);
  await timers.fire(5500);
  assert.deepEqual(await result, { key, keyHint: hint });
  assert.deepEqual(server.bodies(), [resolveBody, resolveBody]);
});

test('429 with Retry-After', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(429, 'rate-limited', { 'Retry-After': '20' }), session);
  const result = encryptionProvider({ url: server.url })(issue);
  await timers.fire(20_500);
  assert.deepEqual(await result, { key, keyHint: hint });
  assert.deepEqual(server.bodies(), [issueBody, issueBody]);
});

test('503 without Retry-After: longer and longer pauses, and then the error', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(503, 'unavailable'));
  const result = failure(encryptionProvider({ url: server.url })(issue), 503, 'urn:keyhint:unavailable');
  await timers.fire(500);
  await timers.fire(1000);
  await timers.fire(2000);
  assert.equal((await result).detail, 'Detail of unavailable.');
  assert.deepEqual(server.bodies(), [issueBody, issueBody, issueBody, issueBody]);
});

test('a 503 of a proxy, which knows nothing of problem documents', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, answer(503, { 'Content-Type': 'text/html' }, '<h1>Bad gateway</h1>'), session);
  const result = encryptionProvider({ url: server.url })(issue);
  await timers.fire(500);
  assert.deepEqual(await result, { key, keyHint: hint });
});

test('one after the other, and a refusal ends it', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(503, 'unavailable'), problem(429, 'rate-limited'), problem(403, 'hint-mismatch'), session);
  const result = failure(encryptionProvider({ url: server.url })(resolve), 403, 'urn:keyhint:hint-mismatch');
  await timers.fire(500);
  await timers.fire(1000);
  await result;
  assert.equal(server.requests.length, 3);
});

test('the number of repetitions can be set', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(409, 'version-unknown'));
  await failure(encryptionProvider({ url: server.url, retries: 0 })(resolve), 409, 'urn:keyhint:version-unknown');
  assert.equal(server.requests.length, 1);
  const result = failure(encryptionProvider({ url: server.url, retries: 1 })(resolve), 409, 'urn:keyhint:version-unknown');
  await timers.fire(500);
  await result;
  assert.equal(server.requests.length, 3);
});

test('jitter: from nothing up to a second at first', async (t) => {
  const timers = takeTimers(t);
  for (const [random, delay] of [[0, 3000], [0.25, 3250], [0.75, 3750]]) {
    t.mock.method(Math, 'random', () => random);
    const server = await serve(t, problem(503, 'unavailable', { 'Retry-After': '3' }), session);
    const result = encryptionProvider({ url: server.url })(issue);
    await timers.fire(delay);
    await result;
  }
});

test('Retry-After as a date', async (t) => {
  const timers = takeTimers(t);
  const now = Date.parse('2026-11-23T12:00:00Z');
  t.mock.method(Date, 'now', () => now);
  const server = await serve(t, problem(503, 'unavailable', { 'Retry-After': 'Mon, 23 Nov 2026 12:00:07 GMT' }), session);
  const result = encryptionProvider({ url: server.url })(issue);
  await timers.fire(7500);
  await result;
});

test('a Retry-After that is past, negative or no time counts for none', async (t) => {
  const timers = takeTimers(t);
  for (const after of ['Mon, 23 Nov 2020 12:00:00 GMT', '-7', 'soon', '', '0']) {
    const server = await serve(t, problem(503, 'unavailable', { 'Retry-After': after }), session);
    const result = encryptionProvider({ url: server.url })(issue);
    await timers.fire(500);
    await result;
  }
});

test('a Retry-After beyond the timeout is not waited for', async (t) => {
  takeTimers(t);
  for (const after of ['60', '1e99', 'Infinity', 'Fri, 01 Jan 2100 00:00:00 GMT']) {
    const server = await serve(t, problem(429, 'rate-limited', { 'Retry-After': after }), session);
    await failure(encryptionProvider({ url: server.url })(issue), 429, 'urn:keyhint:rate-limited');
    assert.equal(server.requests.length, 1);
  }
});

test('the timeout is for all requests and pauses together', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(503, 'unavailable', { 'Retry-After': '4' }), silence);
  const result = failure(encryptionProvider({ url: server.url, timeout: 8000 })(issue), 0, 'urn:keyhint:timeout');
  await timers.fire(4500);
  const { closed } = await server.arrived(2);
  assert.deepEqual(timers.delays(), [8000]);
  await timers.fire(8000);
  await result;
  await closed;
});

test('a pause that would end after the timeout is not begun', async (t) => {
  const timers = takeTimers(t);
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const server = await serve(t, problem(503, 'unavailable', { 'Retry-After': '4' }));
  const result = failure(encryptionProvider({ url: server.url, timeout: 10_000 })(issue), 503, 'urn:keyhint:unavailable');
  await timers.fire(4500);
  now = 5001; // and the next pause is 5,000 ms
  await result;
  assert.equal(server.requests.length, 2);
});
