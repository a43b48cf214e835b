// Puts the page together: the relay, the two editors, the steps and the ring.
import { count, element } from './elements.js';
import { Peer } from './peer.js';
import { Relay } from './relay.js';
import { RelayView, search } from './relayview.js';
import { Ring } from './ring.js';
import { makeSteps, Unexpected } from './steps.js';
import { openStore } from './store.js';
import { Story } from './story.js';
import { drawTimeline } from './timeline.js';

const documentId = 'board-minutes';
const find = (selector, within = document) => within.querySelector(selector);
const card = (name) => find(`[data-step="${name}"]`);

const ring = new Ring();
const relay = new Relay(documentId, openStore('keyhint-dev'));
const notices = { elsewhere: '', unreachable: '', forgetful: '' };

function notice(kind, text) {
  notices[kind] = text;
  const now = Object.values(notices).find(Boolean) ?? '';
  if (find('#notice').textContent !== now) find('#notice').textContent = now;
}

// One page at a time is the relay of this browser.
async function becomeTheOnlyOne() {
  const waiting = setTimeout(() => {
    notice('elsewhere', 'This page is open in another tab already. Close that one, and this one goes on.');
  }, 500);
  await new Promise((resolve) => {
    navigator.locks.request('keyhint-dev', () => {
      resolve();
      return new Promise(() => {}); // held until the page is left
    });
  });
  clearTimeout(waiting);
  notice('elsewhere', '');
}

function drawRing() {
  const { primary, reachable, file, endpoint } = ring;
  notice('unreachable', reachable ? '' : 'keyhint does not answer. Start “keyhint dev” again, and this page goes on by itself. Whoever has a session’s key can go on writing meanwhile.');
  document.documentElement.dataset.keyhint = reachable ? 'up' : 'down';
  if (ring.entries.length === 0) return;
  find('#standing').textContent = reachable
    ? primary ? `New sessions get a key of version ${primary.version}.` : 'New sessions get no key: nothing issues.'
    : 'Does not answer.';
  find('#file').textContent = file;
  find('#endpoint').textContent = `POST ${endpoint}`;
}

/** Fills a choice and keeps what was chosen, if it is still there. */
function fill(select, options, preferred) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => element('option', { value, textContent: text })));
  if (options.some(([value]) => String(value) === chosen)) select.value = chosen;
  else if (preferred !== undefined) select.value = preferred;
}

function drawChoices() {
  const others = relay.sessions.filter((session) => session !== relay.current);
  fill(find('select', card('reopen')), others.length > 0 ? others.map(({ number }) => [number, number]).reverse() : [['', 'none yet']]);
  const usable = ring.entries.filter(({ status }) => status === 'enabled' || status === 'resolve_only');
  const inUse = relay.current && ring.entryOf(relay.current.keyHint)?.check;
  fill(find('select', card('disable')), usable.map(({ check, version }) => [check, version]), inUse ?? ring.primary?.check);
}

async function begin() {
  await becomeTheOnlyOne();
  await relay.load();
  if (!await ring.refresh()) drawRing();
  ring.follow();
  while (ring.entries.length === 0) await new Promise((resolve) => { ring.addEventListener('change', resolve, { once: true }); });
  const { endpoint } = ring;
  const [alice, bob] = await Promise.all(['Alice', 'Bob'].map((name) => Peer.open(name, find(`#${name}`), { relay, documentId, endpoint })));
  const steps = makeSteps({ alice, bob, relay, ring, documentId });

  let running = false;
  async function run(name, choice, { in: place = name, follow = false } = {}) {
    if (running) return;
    running = true;
    document.documentElement.toggleAttribute('data-running', true);
    const story = new Story();
    find('.story')?.remove();
    for (const step of document.querySelectorAll('.step')) step.toggleAttribute('data-shown', step === card(place));
    card(place).after(story.node);
    const late = new Promise((_, reject) => { setTimeout(reject, 20_000, new Unexpected('It takes too long.')); });
    try {
      story.end('shown', await Promise.race([steps[name](story, choice), late]));
    } catch (error) {
      story.end('unexpected', `Not as expected. ${error.message}`);
      if (!(error instanceof Unexpected)) await ring.refresh();
    }
    find('#outcome').textContent = find('.verdict', story.node).textContent;
    if (follow) {
      story.node.tabIndex = -1;
      story.node.focus();
    }
    document.documentElement.toggleAttribute('data-running', false);
    running = false;
  }

  for (const step of document.querySelectorAll('.step')) {
    find('button', step).addEventListener('click', () => run(step.dataset.step, find('select', step)?.value));
  }
  const draw = () => {
    drawRing();
    drawChoices();
    drawTimeline(find('#timeline'), {
      ring, relay,
      onreopen: (number) => run('reopen', number, { follow: true }),
      onenable: (check) => run('enable', check, { in: 'disable', follow: true }),
    });
    notice('forgetful', relay.lasting ? '' : 'This browser does not let the page store anything, so the history ends with it.');
  };
  const view = new RelayView(relay, { facts: find('#facts'), messages: find('#messages'), summary: find('#summary') });
  for (const type of ['session', 'cleared']) relay.addEventListener(type, draw);
  ring.addEventListener('change', () => {
    if (ring.endpoint !== endpoint) location.reload(); // it has moved, and the editors ask at the old place
    draw();
    if (ring.reachable) for (const peer of [alice, bob]) if (peer.state.is === 'failed') peer.retry();
  });
  draw();
  view.draw();

  const look = () => {
    const word = find('#word').value.trim();
    const { found, size } = search(relay.contents(), word);
    find('#found').textContent = word === '' ? '' : found === 0 ? `Not found in ${size} bytes.` : `Found ${count(found, 'time')}, in what is no secret.`;
  };
  find('#word').addEventListener('input', look);
  find('#clear').addEventListener('click', async () => {
    if (running) return;
    await relay.clear();
    await run('open');
  });
  if (!relay.current) await run('open');
  document.documentElement.dataset.ready = '';
}

begin();
