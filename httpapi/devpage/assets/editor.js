// An editor: a text area, in a frame of its own, that a participant keeps in step
// with the others'. The page around it learns what the relay learns, and how the
// exchanges with keyhint went.
import { count, keyTag } from './elements.js';
import { answerCalls } from './link.js';
import { Participant } from './participant.js';

const [heading, key, text, state] = ['h1', '#key', '#text', '#state'].map((selector) => document.querySelector(selector));

// Settles when no input method is at work, which a change from elsewhere would disturb.
let composed = Promise.resolve();
text.addEventListener('compositionstart', () => {
  composed = new Promise((resolve) => text.addEventListener('compositionend', resolve, { once: true }));
});

function describe({ is, number, opened, detail }) {
  if (is === 'open') return opened > 0 ? `Session ${number}. ${count(opened, 'message')} of its history opened.` : `Session ${number}. What you type is encrypted here.`;
  if (is === 'opening') return `Opening session ${number}.`;
  if (is === 'failed') return `Session ${number} cannot be opened. ${detail}`;
  return 'There is no session yet.';
}

function start({ name, documentId, endpoint }, relay, control) {
  document.title = `${name}’s editor`;
  document.documentElement.dataset.name = name;
  heading.textContent = name;
  text.setAttribute('aria-label', `${name}’s text`);
  const participant = new Participant({
    documentId, endpoint, relay,
    hooks: {
      state(now, value = '') {
        text.value = value;
        text.readOnly = now.is !== 'open';
        text.placeholder = now.is === 'open' ? 'Nothing is written in this session yet.' : '';
        document.documentElement.dataset.state = now.is;
        key.replaceChildren(...now.fingerprint ? ['key ', keyTag(now.fingerprint)] : []);
        state.textContent = describe(now);
        tell(now);
      },
      text(steps) {
        for (const { at, length, insert } of steps) text.setRangeText(insert, at, at + length, 'preserve');
        if (document.activeElement !== text) text.setSelectionRange(text.value.length, text.value.length);
      },
      idle: () => composed,
    },
  });
  const tell = answerCalls(control, {
    ask: (request) => participant.ask(request),
    prepare: () => participant.prepare(),
    propose: (keyHint) => participant.propose(keyHint),
    retry: () => participant.retry(),
    greet({ to, number }) {
      text.value = `Hello ${to}, this is session ${number}. It left my browser encrypted.\n${text.value}`;
      participant.type(text.value);
    },
  });
  text.addEventListener('input', () => participant.type(text.value));
}

addEventListener('message', function begin({ origin, source, data, ports }) {
  if (origin !== location.origin || source !== parent || ports.length !== 2) return;
  removeEventListener('message', begin);
  start(data, ...ports);
});
