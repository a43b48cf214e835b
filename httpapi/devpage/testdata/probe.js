// Runs before the scripts of the page, in each of its documents, and notes what
// they send. top.probe is for the tests.
(() => {
  const probe = window.top.probe ??= { sent: [], keys: [], violations: [], held: null, answer: null };

  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (message, ...rest) {
    probe.sent.push(message);
    const send = () => post.call(this, message, ...rest);
    if (probe.held && window === window.top && message.type === 'message') probe.held.push(send);
    else send();
  };

  window.addEventListener('message', ({ data }) => probe.sent.push(data));

  // probe.answer(url, body) may answer in the server's place.
  const real = window.fetch;
  window.fetch = async (url, init) => {
    const response = await (probe.answer?.(String(url), init?.body) ?? real(url, init));
    const { key } = await response.clone().json().catch(() => ({}));
    if (key) probe.keys.push(key);
    return response;
  };

  window.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    probe.violations.push(`${violatedDirective} ${blockedURI}`);
  });

  const texts = (value) => {
    if (value instanceof Uint8Array || value?.constructor?.name === 'Uint8Array') return Array.from(value, (byte) => String.fromCharCode(byte)).join('');
    if (value && typeof value === 'object') return Object.entries(value).map(([name, part]) => `${name} ${texts(part)}`).join('\n');
    return String(value);
  };

  /** Everything that the relay has stored, as text in which every byte is a character. */
  probe.stored = () => new Promise((resolve, reject) => {
    const open = indexedDB.open('keyhint-dev');
    open.onerror = () => reject(open.error);
    open.onsuccess = () => {
      const all = open.result.transaction('records').objectStore('records').getAll();
      all.onerror = () => reject(all.error);
      all.onsuccess = () => {
        open.result.close();
        resolve(texts(all.result));
      };
    };
  });

  /** How many messages the editors have sent to the relay. */
  probe.messages = () => probe.sent.filter(({ type, data }) => type === 'message' && data).length;

  /** Everything that went through a port or between windows. */
  probe.sentText = () => texts(probe.sent);

  probe.release = () => {
    const { held } = probe;
    probe.held = null;
    held.forEach((send) => send());
  };
})();
