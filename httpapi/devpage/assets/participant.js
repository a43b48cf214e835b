// One of those who write: asks keyhint for the session's key, and keeps it and the
// text to itself. What goes to the relay is encrypted, or not secret.
import { encryptionProvider } from './client/keyhint.js';
import { fingerprint, hex, seal, unseal, unwrapKey, wrapNewKey } from './sealing.js';
import { SharedText } from './text.js';

export class Participant {
  #documentId;
  #relay;
  #keys;
  #hooks;
  #offers = new Map(); // by hint: a session's key that is not at the relay yet
  #session = null; // the one that is open: {number, content, text}
  #number = 0; // of the last session that the relay told of
  #incoming = Promise.resolve();
  #outgoing = Promise.resolve();

  /**
   * relay is a MessagePort. The hooks are state(s), which tells what becomes of a session; text(steps), for every
   * change that comes from elsewhere; and idle(), which resolves when the text may be changed.
   */
  constructor({ documentId, endpoint, relay, hooks }) {
    this.#documentId = documentId;
    this.#relay = relay;
    this.#hooks = hooks;
    // Without repetitions, so that the page shows every answer.
    this.#keys = encryptionProvider({ url: endpoint, retries: 0, timeout: 10_000 });
    relay.onmessage = ({ data }) => {
      this.#incoming = this.#incoming.then(() => this.#receive(data));
    };
    relay.postMessage({ type: 'join' });
  }

  /** Asks keyhint. The exchange tells all of the answer but the key, of which it has the fingerprint. */
  async ask(request) {
    return (await this.#ask(request)).exchange;
  }

  async #ask(request) {
    try {
      const { key, keyHint } = await this.#keys(request);
      return { key, exchange: { request, status: 200, keyHint, fingerprint: await fingerprint(key) } };
    } catch ({ status = 0, type = 'about:blank', detail = 'The page failed.' }) {
      return { exchange: { request, status, type, detail } };
    }
  }

  /** Asks for a new session's key and makes the content key, and tells nobody yet. */
  async prepare() {
    const { key, exchange } = await this.#ask({ documentId: this.#documentId, keyHint: null });
    this.#offers.clear(); // of earlier calls
    if (key) {
      const made = await wrapNewKey(key);
      this.#offers.set(exchange.keyHint, { ...made, fingerprint: exchange.fingerprint, instead: this.#number });
    }
    return exchange;
  }

  /** Offers the relay a session that was prepared. It takes the first that comes. */
  propose(keyHint) {
    const { stored, instead } = this.#offers.get(keyHint);
    this.#relay.postMessage({ type: 'open', instead, keyHint, ...stored });
  }

  /** Asks the relay for the session again, after it could not be opened. */
  retry() {
    if (!this.#session) this.#relay.postMessage({ type: 'join' });
  }

  /** Takes over what was typed here. */
  type(value) {
    if (!this.#session) return;
    const { number, content, text } = this.#session;
    const change = text.edit(value);
    if (!change) return;
    this.#outgoing = this.#outgoing.then(async () => {
      this.#relay.postMessage({ type: 'message', session: number, ...await seal(content, change) });
    });
  }

  async #receive({ type, session, messages, message }) {
    try {
      if (type === 'session') await this.#enter(session, messages);
      else if (session === this.#session?.number) {
        const change = await unseal(this.#session.content, message);
        await this.#hooks.idle();
        this.#hooks.text(this.#session.text.apply(change));
      }
    } catch {
      this.#session = null;
      this.#hooks.state({ is: 'failed', number: this.#number, detail: 'What the relay handed out is not what was sent.' });
    }
  }

  async #enter(session, messages) {
    if (session && session.number === this.#session?.number) return;
    this.#session = null;
    this.#number = session?.number ?? 0;
    if (!session) return this.#hooks.state({ is: 'none' });
    const { number, keyHint } = session;
    const offer = this.#offers.get(keyHint); // only once: afterwards it has to ask, as anybody does
    this.#offers.delete(keyHint);
    let { content, fingerprint } = offer ?? {};
    let exchange = null;
    if (!offer) {
      this.#hooks.state({ is: 'opening', number });
      let key;
      ({ key, exchange } = await this.#ask({ documentId: this.#documentId, keyHint }));
      if (!key) return this.#hooks.state({ is: 'failed', number, exchange, detail: exchange.detail });
      content = await unwrapKey(key, session);
      ({ fingerprint } = exchange);
    }
    const text = new SharedText(hex(crypto.getRandomValues(new Uint8Array(4))));
    for (const message of messages) text.apply(await unseal(content, message));
    this.#session = { number, content, text };
    this.#hooks.state({ is: 'open', number, exchange, fingerprint, opened: messages.length }, text.value);
  }
}
