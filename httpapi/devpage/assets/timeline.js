// The ring's versions in their order, with the sessions made under each.
import { count, element } from './elements.js';

const shownSessions = 8; // of a version; the others are counted

function life({ status, primary, activate_at: activateAt }) {
  if (status === 'destroyed') return 'Destroyed. Its secrets are gone.';
  if (status === 'disabled') return 'Disabled. Opens nothing.';
  if (primary) return 'Issues new keys now.';
  if (status === 'enabled' && Date.parse(activateAt) > Date.now()) return `Issues from ${new Date(activateAt).toLocaleString()}.`;
  return 'Still opens its sessions.';
}

const standing = ({ status, primary }) => (primary ? 'primary' : status);

/** Draws it into a list. onreopen gets a session's number, onenable an entry's check value. */
export function drawTimeline(list, { ring, relay, onreopen, onenable }) {
  const session = ({ number, messages }) => {
    const isCurrent = number === relay.current.number;
    const label = `Session ${number} `;
    const details = element('small', { textContent: isCurrent ? 'in the editors' : count(messages.length, 'message') });
    const made = isCurrent
      ? element('span', { className: 'session', 'aria-current': 'true' }, label, details)
      : element('button', { className: 'session', type: 'button', onclick: () => onreopen(number) }, element('span', { className: 'sr', textContent: 'Reopen ' }), label, details);
    made.dataset.session = number;
    return element('li', {}, made);
  };
  const version = (title, kind, text, sessions, ...more) => {
    const item = element('li', { className: 'version' },
      element('h3', {}, title),
      element('p', { className: 'life', textContent: text }),
      ...more);
    item.dataset.standing = kind;
    const shown = sessions.slice(-shownSessions);
    if (sessions.length > shown.length) item.append(element('p', { className: 'more', textContent: `${count(sessions.length - shown.length, 'earlier session')}, and` }));
    if (shown.length > 0) item.append(element('ul', { className: 'sessions', 'aria-label': `Sessions of ${title.toLowerCase()}` }, ...shown.map(session)));
    return item;
  };

  const of = (entry) => relay.sessions.filter(({ keyHint }) => ring.entryOf(keyHint) === entry);
  const strays = of(undefined);
  list.replaceChildren(
    ...strays.length > 0 ? [version('Another key ring', 'stray', 'Nothing here opens these.', strays)] : [],
    ...ring.entries.map((entry) => version(`Version ${entry.version}`, standing(entry), life(entry), of(entry),
      element('p', { className: 'name' }, 'in hints ', element('code', { className: 'hint', textContent: entry.check.slice(0, -8) })),
      entry.status === 'disabled' && element('button', { className: 'quiet', type: 'button', textContent: `Enable version ${entry.version} again`, onclick: () => onenable(entry.check) }))),
  );
}
