// What the server in between sees.
import { count, element } from './elements.js';
import { hex } from './sealing.js';

const shownMessages = 60; // the last ones
const beginning = (bytes, length) => `${hex(bytes.subarray(0, length))}${bytes.length > length ? '…' : ''}`;

/** Fills the parts of the relay's view, and keeps them up to date. */
export class RelayView {
  #relay;
  #parts;
  #drawn = null; // the session whose messages are in the list

  /** The parts are elements: facts, messages, summary. */
  constructor(relay, parts) {
    this.#relay = relay;
    this.#parts = parts;
    for (const type of ['session', 'message', 'cleared']) relay.addEventListener(type, () => this.draw());
  }

  draw() {
    const { current } = this.#relay;
    const { facts, messages } = this.#parts;
    if (current !== this.#drawn) {
      this.#drawn = current;
      messages.replaceChildren();
      facts.replaceChildren(...current ? [
        fact('session', `${current.number}, opened by ${current.by}`),
        fact('hint', element('code', { className: 'hint', textContent: current.keyHint })),
        fact('salt', ...bytesOf(current.salt)),
        fact('wrapped key', ...bytesOf(current.wrapped)),
      ] : []);
    }
    const all = current?.messages ?? [];
    const done = Number(messages.lastElementChild?.dataset.number ?? 0);
    all.slice(Math.max(done, all.length - shownMessages)).forEach((message, i, added) => {
      messages.append(row(message, all.length - added.length + i + 1));
    });
    while (messages.childElementCount > shownMessages) messages.firstElementChild.remove();
    messages.parentElement.scrollTop = messages.parentElement.scrollHeight;
    const bytes = all.reduce((sum, { data }) => sum + data.length, 0);
    this.#parts.summary.textContent = all.length > 0 ? `${count(all.length, 'message')}, ${count(bytes, 'byte')} of ciphertext` : 'No messages yet';
  }
}

const fact = (name, ...value) => element('div', {}, element('dt', { textContent: name }), element('dd', {}, ...value));

const bytesOf = (bytes) => [element('code', { textContent: beginning(bytes, 8) }), element('small', { textContent: ` ${count(bytes.length, 'byte')}` })];

function row({ by, iv, data }, number) {
  const made = element('li', {},
    element('span', { className: 'number', textContent: number }),
    element('b', { textContent: by }),
    element('span', { className: 'size', textContent: count(data.length, 'byte') }),
    element('code', {}, element('span', { className: 'iv', textContent: hex(iv) }), ` ${beginning(data, 32)}`));
  Object.assign(made.dataset, { number, who: by });
  return made;
}

/** How often a word stands in what the relay holds, and how large that is. */
export function search(contents, word) {
  const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  const encode = (text) => latin1(new TextEncoder().encode(text));
  const haystack = contents.map((part) => (typeof part === 'string' ? encode(part) : latin1(part)));
  const found = haystack.reduce((sum, part) => sum + part.split(encode(word)).length - 1, 0);
  return { found, size: haystack.reduce((sum, { length }) => sum + length, 0) };
}
