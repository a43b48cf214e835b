// Timeouts, signals, and requests that several callers share.
import assert from 'node:assert/strict';
import { encryptionProvider } from 'keyhint-client';
import { failure, hint, json, key, problem, serve, session, silence, takeTimers, test } from '../testkit/loopback.js';

const issue = { documentId: 'doc-1', keyHint: null };
const resolve = { documentId: 'doc-1', keyHint: hint };
const resolveBody = `{"documentId":"doc-1","keyHint":"${hint}"}`;
const aborted = { name: 'AbortError' };

/** An answer that the test gives when it likes. */
function later() {
  let give;
  const given = new Promise((resolve) => { give = resolve; });
  return { give, answer: async (response) => (await given)(response) };
}

/** How many listeners the signal has. */
function countListeners(signal) {
  let count = 0;
  const { addEventListener } = signal;
  signal.addEventListener = function (type, listener, options) {
    count++;
    options.signal.addEventListener('abort', () => count--);
    return addEventListener.call(this, type, listener, options);
  };
  return () => count;
}

test('a server that never answers: timeout, and the request is ended', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, silence);
  const result = failure(encryptionProvider({ url: server.url })(issue), 0, 'urn:keyhint:timeout');
  const { closed } = await server.arrived(1);
  await timers.fire(30_000);
  await result;
  await closed;
  assert.equal(server.requests.length, 1);
});

test('an answer that never ends: timeout', async (t) => {
  for (const [status, type] of [[200, 'application/json'], [503, 'application/problem+json']]) {
    const timers = takeTimers(t);
    let begun;
    const headers = new Promise((resolve) => { begun = resolve; });
    const server = await serve(t, (response) => {
      response.writeHead(status, { 'Content-Type': type });
      response.write('{"key":"');
    });
    const observed = async (...args) => {
      const response = await fetch(...args);
      begun();
      return response;
    };
    const result = failure(encryptionProvider({ url: server.url, fetch: observed, timeout: 1000 })(issue), 0, 'urn:keyhint:timeout');
    await headers;
    await timers.fire(1000);
    await result;
    await server.requests[0].closed;
    assert.equal(server.requests.length, 1);
  }
});

test('the timeout holds for the token function, and for a fetch that knows no signals', async (t) => {
  const timers = takeTimers(t);
  const never = () => new Promise(() => {});
  for (const options of [{ token: never }, { fetch: never }]) {
    const result = failure(encryptionProvider({ url: 'http://127.0.0.1:1/', timeout: 1000, ...options })(issue), 0, 'urn:keyhint:timeout');
    await timers.fire(1000);
    await result;
  }
});

test('a timeout may be as long as one likes', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, silence);
  const stop = new AbortController();
  const result = assert.rejects(encryptionProvider({ url: server.url, timeout: Infinity })(issue, { signal: stop.signal }), aborted);
  assert.deepEqual(timers.delays(), [2 ** 31 - 1]); // the longest that setTimeout takes
  stop.abort();
  await result;
});

test('what is not read is let go of', async (t) => {
  takeTimers(t);
  const server = await serve(t, (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).write('<p>'));
  await failure(encryptionProvider({ url: server.url })(issue), 200, 'urn:keyhint:bad-answer');
  await server.requests[0].closed;
});

test('an abort in flight ends the request, and rejects with the reason', async (t) => {
  takeTimers(t);
  for (const request of [issue, resolve]) {
    const server = await serve(t, silence);
    const stop = new AbortController();
    const result = encryptionProvider({ url: server.url })(request, { signal: stop.signal });
    const { closed } = await server.arrived(1);
    stop.abort();
    await assert.rejects(result, aborted);
    await closed;
  }
  const server = await serve(t, silence);
  const stop = new AbortController();
  const reason = new Error('the editor was closed');
  const result = encryptionProvider({ url: server.url })(issue, { signal: stop.signal });
  await server.arrived(1);
  stop.abort(reason);
  await assert.rejects(result, (error) => error === reason);
});

test('an abort in a pause: nothing more is sent', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(503, 'unavailable'), session);
  const stop = new AbortController();
  const asked = [];
  const token = () => `token-${asked.push(1)}`;
  const result = encryptionProvider({ url: server.url, token })(issue, { signal: stop.signal });
  await timers.until(500);
  stop.abort();
  await assert.rejects(result, aborted);
  assert.equal(server.requests.length, 1);
  assert.equal(asked.length, 1);
});

test('an abort while a refusal is read: no pause is begun', async (t) => {
  takeTimers(t);
  let begun;
  const headers = new Promise((resolve) => { begun = resolve; });
  const server = await serve(t, (response) => {
    response.writeHead(503, { 'Content-Type': 'application/problem+json' });
    response.write('{');
  });
  const observed = async (...args) => {
    const response = await fetch(...args);
    begun(response);
    return response;
  };
  const stop = new AbortController();
  const result = encryptionProvider({ url: server.url, fetch: observed })(issue, { signal: stop.signal });
  await headers;
  stop.abort();
  await assert.rejects(result, aborted);
  await server.requests[0].closed;
  await new Promise(setImmediate);
});

test('an aborted signal: nothing is sent', async (t) => {
  takeTimers(t);
  const server = await serve(t, session);
  const signal = AbortSignal.abort();
  await assert.rejects(encryptionProvider({ url: server.url })(issue, { signal }), aborted);
  await assert.rejects(encryptionProvider({ url: server.url, signal })(issue), aborted);
  assert.equal(server.requests.length, 0);
});

test("the provider's signal ends all calls, now and later", async (t) => {
  takeTimers(t);
  const server = await serve(t, silence);
  const stop = new AbortController();
  const keys = encryptionProvider({ url: server.url, signal: stop.signal });
  const results = [keys(issue), keys(resolve), keys(resolve, { signal: new AbortController().signal })];
  await server.arrived(2);
  stop.abort();
  for (const result of results) await assert.rejects(result, aborted);
  for (const request of server.requests) await request.closed;
  await assert.rejects(keys(issue), aborted);
  assert.equal(server.requests.length, 2);
});

test('signals are left without listeners', async (t) => {
  takeTimers(t);
  const server = await serve(t, session);
  const stop = new AbortController();
  const listeners = countListeners(stop.signal);
  const keys = encryptionProvider({ url: server.url, signal: stop.signal });
  const result = keys(issue);
  assert.equal(listeners(), 1);
  await result;
  await keys(resolve, { signal: stop.signal });
  assert.equal(listeners(), 0);
});

test('concurrent resolves of one pair are one request', async (t) => {
  takeTimers(t);
  const server = await serve(t, session);
  const keys = encryptionProvider({ url: server.url });
  const results = await Promise.all([keys(resolve), keys({ ...resolve }), keys(resolve)]);
  for (const result of results) assert.deepEqual(result, { key, keyHint: hint });
  assert.notEqual(results[0], results[1]); // one caller cannot change what another has
  assert.deepEqual(server.bodies(), [resolveBody]);
});

test('a resolve joins one that is on its way, also in a pause', async (t) => {
  const timers = takeTimers(t);
  const server = await serve(t, problem(409, 'version-unknown'), session);
  const keys = encryptionProvider({ url: server.url });
  const first = keys(resolve);
  await timers.until(500);
  const second = keys(resolve);
  await timers.fire(500);
  assert.deepEqual(await Promise.all([first, second]), [{ key, keyHint: hint }, { key, keyHint: hint }]);
  assert.equal(server.requests.length, 2);
});

test('new keys are never shared', async (t) => {
  takeTimers(t);
  const keysGiven = ['A'.repeat(43), 'B'.repeat(43)];
  const server = await serve(t, ...keysGiven.map((key, n) => json({ key, keyHint: `hint-${n}` })));
  const keys = encryptionProvider({ url: server.url });
  const results = await Promise.all([keys(issue), keys(issue)]);
  assert.deepEqual(results.map((result) => result.key).sort(), keysGiven);
  assert.equal(server.requests.length, 2);
});

test('other documents, other hints and other providers share nothing', async (t) => {
  takeTimers(t);
  const server = await serve(t, (response, request) => json({ key, keyHint: JSON.parse(request.body).keyHint })(response));
  const keys = encryptionProvider({ url: server.url });
  const other = encryptionProvider({ url: server.url });
  const pairs = [['a', 'b,c'], ['a,b', 'c'], ['a","keyHint":"b', 'c'], ['a', 'b'], ['b', 'a']];
  await Promise.all([...pairs.map(([documentId, keyHint]) => keys({ documentId, keyHint })), other({ documentId: 'a', keyHint: 'b' })]);
  assert.equal(server.requests.length, 6);
});

test('keys are not kept', async (t) => {
  takeTimers(t);
  const server = await serve(t, session);
  const keys = encryptionProvider({ url: server.url });
  await keys(resolve);
  await keys(resolve);
  assert.equal(server.requests.length, 2);
});

test('after a failure that was shared, each caller may ask anew at once', async (t) => {
  takeTimers(t);
  const server = await serve(t, problem(403, 'access-denied'), session);
  const keys = encryptionProvider({ url: server.url });
  const again = () => keys(resolve).catch(() => keys(resolve));
  assert.deepEqual(await Promise.all([again(), again(), again()]), Array(3).fill({ key, keyHint: hint }));
  assert.equal(server.requests.length, 2);
});

test("one caller's abort leaves the request to the others", async (t) => {
  takeTimers(t);
  const { give, answer } = later();
  const server = await serve(t, answer);
  const keys = encryptionProvider({ url: server.url });
  const stop = new AbortController();
  const first = keys(resolve, { signal: stop.signal });
  const second = keys(resolve);
  const third = keys(resolve, { signal: new AbortController().signal });
  await server.arrived(1);
  stop.abort();
  await assert.rejects(first, aborted);
  give(session);
  assert.deepEqual(await Promise.all([second, third]), [{ key, keyHint: hint }, { key, keyHint: hint }]);
  assert.equal(server.requests.length, 1);
});

test('when the last caller has gone, so has the request', async (t) => {
  takeTimers(t);
  const server = await serve(t, silence);
  const keys = encryptionProvider({ url: server.url });
  const stops = [new AbortController(), new AbortController()];
  const results = stops.map(({ signal }) => keys(resolve, { signal }));
  const { closed } = await server.arrived(1);
  stops[0].abort();
  await assert.rejects(results[0], aborted);
  stops[1].abort();
  await assert.rejects(results[1], aborted);
  await closed;
});

test('whoever comes after the last abort gets a request of their own, and keeps it', async (t) => {
  takeTimers(t);
  const { give, answer } = later();
  const server = await serve(t, silence, answer);
  const keys = encryptionProvider({ url: server.url });
  const stop = new AbortController();
  // As soon as the first has failed, before the ended request has settled.
  const second = keys(resolve, { signal: stop.signal }).catch((error) => {
    assert.equal(error.name, 'AbortError');
    return keys(resolve);
  });
  const { closed } = await server.arrived(1);
  stop.abort();
  await server.arrived(2);
  await closed;
  await new Promise(setImmediate);
  const third = keys(resolve); // joins the second: the end of the first has not removed it
  give(session);
  assert.deepEqual(await Promise.all([second, third]), [{ key, keyHint: hint }, { key, keyHint: hint }]);
  assert.equal(server.requests.length, 2);
});

test('whoever comes in the moment of the last abort joins the request', async (t) => {
  takeTimers(t);
  const { give, answer } = later();
  const server = await serve(t, answer);
  const keys = encryptionProvider({ url: server.url });
  const stop = new AbortController();
  const first = keys(resolve, { signal: stop.signal });
  await server.arrived(1);
  stop.abort();
  const second = keys(resolve);
  await assert.rejects(first, aborted);
  give(session);
  assert.deepEqual(await second, { key, keyHint: hint });
  assert.equal(server.requests.length, 1);
});
