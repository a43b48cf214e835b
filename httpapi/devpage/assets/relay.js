// The server between the editors: it keeps what they send, in the order in which it
// comes, and hands it out. It knows who is connected and what is not secret. There is
// no key here and nothing that could open a message.

const sizes = { salt: 32, iv: 12, wrapped: 48 }; // in bytes
const maxHint = 256; // characters, as RTC has it
const maxData = 64 << 10; // bytes

const isBytes = (value, size) => value instanceof Uint8Array && value.length === size;

/** Tells of every change with an event of its type: session, message or cleared. */
export class Relay extends EventTarget {
  sessions = []; // {number, by, keyHint, salt, iv, wrapped, messages: [{by, iv, data}]}
  current = null; // the session that the editors are in
  lasting = true; // what it keeps survives a reload

  #store;
  #documentId;
  #ports = new Map(); // to names
  #work = Promise.resolve();

  /** The store has all(), add(record) and clear(), all of which return promises. */
  constructor(documentId, store) {
    super();
    this.#documentId = documentId;
    this.#store = store;
  }

  /** Takes up what is stored. */
  async load() {
    for (const record of await this.#store.all().catch(() => this.#forgetful([]))) this.#apply(record);
  }

  connect(name, port) {
    this.#ports.set(port, name);
    port.onmessage = ({ data }) => this.#do(() => this.#receive(port, name, data));
  }

  /** Puts the editors in an earlier session. */
  reopen(number) {
    return this.#do(async () => {
      await this.#keep({ type: 'current', number });
      this.#announce();
    });
  }

  /** Forgets everything. */
  clear() {
    return this.#do(async () => {
      await this.#store.clear().catch(() => this.#forgetful());
      this.sessions = [];
      this.current = null;
      this.#announce();
      this.dispatchEvent(new Event('cleared'));
    });
  }

  /** All that it holds, as text and bytes. */
  contents() {
    return [this.#documentId, ...this.sessions.flatMap(({ keyHint, salt, iv, wrapped, messages, by }) => [
      by, keyHint, salt, iv, wrapped, ...messages.flatMap((message) => [message.by, message.iv, message.data]),
    ])];
  }

  #do(work) {
    const done = this.#work.then(work);
    this.#work = done.catch(() => {});
    return done;
  }

  async #receive(port, by, { type, ...rest }) {
    if (type === 'join') return port.postMessage(this.#state());
    if (type === 'open') return this.#open(port, by, rest);
    const { session: number, iv, data } = rest;
    const session = this.sessions[number - 1];
    const fits = isBytes(iv, sizes.iv) && data instanceof Uint8Array && data.length <= maxData;
    if (type !== 'message' || !session || !fits) return undefined;
    await this.#keep({ type: 'message', number, by, iv, data });
    for (const other of this.#ports.keys()) {
      if (other !== port) other.postMessage({ type: 'message', session: number, message: { iv, data } });
    }
    return undefined;
  }

  // Two may open a session at once. The first one wins, and the other is told of it.
  async #open(port, by, { instead, keyHint, ...bytes }) {
    const fits = typeof keyHint === 'string' && keyHint.length <= maxHint
      && Object.entries(sizes).every(([name, size]) => isBytes(bytes[name], size));
    if (!fits || instead !== (this.current?.number ?? 0)) return port.postMessage(this.#state());
    const { salt, iv, wrapped } = bytes;
    await this.#keep({ type: 'session', by, keyHint, salt, iv, wrapped });
    this.#announce();
    return undefined;
  }

  // What is handed out is stored already.
  async #keep(record) {
    await this.#store.add(record).catch(() => this.#forgetful());
    const type = this.#apply(record);
    this.dispatchEvent(new Event(type));
  }

  #forgetful(value) {
    this.lasting = false;
    return value;
  }

  #apply({ type, number, ...rest }) {
    if (type === 'message') {
      this.sessions[number - 1].messages.push(rest);
      return 'message';
    }
    if (type === 'session') this.sessions.push({ number: this.sessions.length + 1, ...rest, messages: [] });
    this.current = this.sessions[(number ?? this.sessions.length) - 1];
    return 'session';
  }

  #announce() {
    for (const port of this.#ports.keys()) port.postMessage(this.#state());
  }

  #state() {
    if (!this.current) return { type: 'session', session: null, messages: [] };
    const { messages, by, ...session } = this.current;
    return { type: 'session', session, messages: messages.map(({ iv, data }) => ({ iv, data })) };
  }
}
