// Keys from a keyhint endpoint: see README.md.

const urn = 'urn:keyhint:';

const matches = (value, form) => typeof value === 'string' && form.test(value);

/** Why there is no key. The status is 0 unless the endpoint answered. */
export class KeyhintError extends Error {
  constructor(status, type, detail, options) {
    super(detail, options);
    Object.assign(this, { name: 'KeyhintError', status, type, detail });
  }
}

// Settles like work, unless a signal aborts before.
async function until(work, signals) {
  const done = new AbortController();
  try {
    return await Promise.race([work, ...signals.map((signal) => new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { signal: done.signal });
    }))]);
  } finally {
    done.abort();
  }
}

export function encryptionProvider({
  url, token, credentials, fetch = globalThis.fetch, timeout = 30000, retries = 3, signal,
}) {
  if (!url) throw new TypeError('encryptionProvider needs a url');
  const shared = new Map(); // the resolves in flight, by body

  async function post(documentId, body, signal) {
    const headers = {};
    if (token !== undefined) {
      const bearer = typeof token === 'function' ? await token(documentId) : token;
      if (!matches(bearer, /^[\w.~+/-]+=*$/)) {
        throw new KeyhintError(0, urn + 'unauthenticated', 'There is no valid token.');
      }
      headers.Authorization = 'Bearer ' + bearer;
    }
    try {
      return await fetch(url, { method: 'POST', body, headers, credentials, redirect: 'error', signal });
    } catch (cause) {
      throw new KeyhintError(0, urn + 'no-answer', 'The key endpoint cannot be reached.', { cause });
    }
  }

  // Returns the error, if it is one.
  async function read(response, hint) {
    const { status, headers } = response;
    const format = headers.get('content-type')?.split(';')[0].trim().toLowerCase();
    // Without the parser's error, which may quote the key.
    const json = async () => Object(await response.json().catch(() => null));
    if (status !== 200) {
      const { type, detail } = format === 'application/problem+json' ? await json() : {};
      return new KeyhintError(status, matches(type, /./) ? type : 'about:blank',
        matches(detail, /./) ? detail : `The key endpoint answered with status ${status}.`);
    }
    if (format === 'application/json') {
      const { key, keyHint } = await json();
      // Another hint than the one sent is the answer to another request.
      if (matches(key, /^[\w-]{43}$/) && matches(keyHint, /./) && (hint ?? keyHint) === keyHint) {
        return { key, keyHint };
      }
    }
    return new KeyhintError(200, urn + 'bad-answer', 'The answer is not that of a key endpoint.');
  }

  function start(documentId, hint, body) {
    const controller = new AbortController();
    const { signal } = controller;
    const deadline = performance.now() + timeout;
    let pause;
    const limit = setTimeout(() => {
      controller.abort(new KeyhintError(0, urn + 'timeout', 'The key endpoint did not answer in time.'));
    }, Math.min(timeout, 2 ** 31 - 1));

    async function work() {
      for (let n = 0; ; n++) {
        const response = await post(documentId, body, signal);
        const answer = await read(response, hint);
        signal.throwIfAborted();
        if (answer.key) return answer;
        const after = response.headers.get('retry-after');
        const wait = Math.max(0, isNaN(after) ? Date.parse(after) - Date.now() || 0 : after * 1000)
          + Math.random() * 1000 * 2 ** n;
        if (n >= retries || ![409, 429, 503].includes(answer.status) || performance.now() + wait > deadline) {
          throw answer;
        }
        await new Promise((resolve) => { pause = setTimeout(resolve, wait); });
      }
    }

    const run = {
      callers: 0,
      answer: until(work(), [signal]),
      end() {
        clearTimeout(limit);
        clearTimeout(pause);
        shared.delete(body);
        controller.abort();
      },
    };
    if (hint !== null) shared.set(body, run);
    return run;
  }

  return async ({ documentId, keyHint } = {}, options = {}) => {
    if (typeof documentId !== 'string' || (typeof keyHint !== 'string' && keyHint !== null)) {
      throw new KeyhintError(0, urn + 'malformed-request', 'documentId must be a string, and keyHint a string or null.');
    }
    const signals = [signal, options.signal].filter(Boolean);
    signals.forEach((signal) => signal.throwIfAborted());
    const body = JSON.stringify({ documentId, keyHint });
    const run = shared.get(body) ?? start(documentId, keyHint, body);
    run.callers++;
    try {
      return { ...await until(run.answer, signals) };
    } finally {
      if (!--run.callers) run.end(); // all have the answer, or have gone
    }
  };
}
