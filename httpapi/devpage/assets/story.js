// What happened in a step, as it happens: requests, answers, and what they show.
import { element, keyTag } from './elements.js';

const field = (name, ...value) => element('div', {}, element('dt', { textContent: name }), element('dd', {}, ...value));

// The JSON that was sent, with the hint in its colour.
function body(request) {
  const [documentId, keyHint] = [request.documentId, request.keyHint].map((value) => JSON.stringify(value));
  const hint = request.keyHint === null ? keyHint : element('span', { className: 'hint', textContent: keyHint });
  return element('code', { className: 'request' }, `{"documentId":${documentId},`, element('wbr'), '"keyHint":', hint, '}');
}

function answer({ request, status, keyHint, fingerprint, type, detail }) {
  const hint = keyHint === request.keyHint ? 'the same' : element('code', { className: 'hint', textContent: keyHint });
  const fields = fingerprint
    ? [field('key', keyTag(fingerprint)), field('keyHint', hint)]
    : [field('type', element('code', { textContent: type })), field('detail', detail)];
  return element('div', { className: 'answer' },
    element('p', { className: 'status', textContent: status === 0 ? 'No answer' : `Answer ${status}` }),
    element('dl', {}, ...fields));
}

export class Story {
  node = element('div', { className: 'story' });
  #verdict = element('p', { className: 'verdict', textContent: 'Under way.' });
  #list = element('ol', {});

  constructor() {
    this.node.dataset.state = 'running';
    this.node.append(this.#verdict, this.#list);
  }

  /** A request to keyhint and the answer to it. */
  exchange(exchange) {
    const { who, request, status } = exchange;
    const item = element('li', { className: 'exchange' },
      element('div', { className: 'asks' },
        element('p', {}, element('b', { textContent: who }), ' asks keyhint'),
        body(request)),
      answer(exchange));
    item.dataset.who = who;
    item.dataset.status = status;
    this.#list.append(item);
  }

  /** What else happened. */
  note(text) {
    this.#list.append(element('li', { className: 'note', textContent: text }));
  }

  /** Ends it. */
  end(state, sentence) {
    this.node.dataset.state = state;
    this.#verdict.textContent = sentence;
  }
}
