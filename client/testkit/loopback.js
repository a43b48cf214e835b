// Servers on loopback, and the timers of the module under test.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import nodeTest from 'node:test';
import { KeyhintError } from 'keyhint-client';

const patience = 30_000; // for what must happen; nothing waits this long if all is well

export const test = (name, body) => nodeTest(name, { timeout: patience }, body);

export const key = 'J5vN6XaGoiIVBJY2GTmvNDwdHvBvMXbBjHEeTMpXsyY';
export const hint = 'kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw';

/** An answer with these headers and this body. */
export const answer = (status, headers, body = '') => (response) => response.writeHead(status, headers).end(body);

/** A 200 with JSON; with a string, exactly that. */
export const json = (body) => answer(200, { 'Content-Type': 'application/json' }, typeof body === 'string' ? body : JSON.stringify(body));

export const session = json({ key, keyHint: hint });

/** A problem document as keyhint writes it. */
export const problem = (status, name, headers = {}) => answer(status, { 'Content-Type': 'application/problem+json', ...headers },
  JSON.stringify({ type: `urn:keyhint:${name}`, title: 'Title', status, detail: `Detail of ${name}.` }));

/** No answer, ever. */
export const silence = () => {};

/**
 * Serves until the test ends. The first request gets the first of the answers,
 * and so on; the last one is for all that follow.
 */
export async function serve(t, ...answers) {
  const requests = [];
  const waiting = [];
  const check = () => { for (const wake of waiting.splice(0)) wake(); };
  const server = http.createServer(async (message, response) => {
    const request = { method: message.method, path: message.url, headers: message.headers, body: '', closed: once(response, 'close') };
    for await (const chunk of message) request.body += chunk;
    requests.push(request);
    check();
    await answers[Math.min(requests.length, answers.length) - 1](response, request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  t.after(close);
  return {
    close,
    url: `http://127.0.0.1:${server.address().port}/v1/key`,
    requests,
    bodies: () => requests.map((request) => request.body),
    /** Waits until so many requests are there, and returns the last of them. */
    async arrived(count) {
      while (requests.length < count) await new Promise((wake) => { waiting.push(wake); });
      return requests[count - 1];
    },
  };
}

/**
 * Takes over the timers of keyhint.js, and only those: they fire when the test
 * says so. Jitter is half of its most. In the end no timer may be left.
 */
export function takeTimers(t) {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const pending = new Set();
  const waiting = [];
  t.mock.method(Math, 'random', () => 0.5);
  t.mock.method(globalThis, 'setTimeout', (callback, delay, ...args) => {
    if (!new Error().stack.includes('/keyhint.js')) return set(callback, delay, ...args);
    const timer = { callback, delay };
    pending.add(timer);
    for (const wake of waiting.splice(0)) wake();
    return timer;
  });
  t.mock.method(globalThis, 'clearTimeout', (timer) => {
    if (!pending.delete(timer)) clear(timer);
  });
  t.after(() => assert.deepEqual(delays(), [], 'timers are left'));
  const delays = () => Array.from(pending, (timer) => timer.delay).sort((a, b) => a - b);
  /** Waits until a timer is set to so many milliseconds. */
  const until = async (delay) => {
    for (;;) {
      const timer = Array.from(pending).find((timer) => timer.delay === delay);
      if (timer) return timer;
      await new Promise((wake) => { waiting.push(wake); });
    }
  };
  return {
    delays,
    until,
    /** Waits for a timer as well, and lets its time come. */
    async fire(delay) {
      const timer = await until(delay);
      pending.delete(timer);
      timer.callback();
    },
  };
}

/** Asserts that a promise fails with a KeyhintError, and returns that. */
export async function failure(promise, status, type) {
  const error = await promise.then(() => assert.fail('there is a key'), (error) => error);
  assert(error instanceof KeyhintError, error);
  assert.deepEqual({ name: error.name, status: error.status, type: error.type }, { name: 'KeyhintError', status, type });
  assert(error.detail);
  assert.equal(error.message, error.detail);
  return error;
}
