// What the server in between keeps, and whom it tells.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Relay } from '../assets/relay.js';

/** A port whose other side is the test's. */
class Port {
  received = [];

  postMessage(message) { this.received.push(message); }

  async send(message) { await this.onmessage({ data: message }); }
}

function memory(records = []) {
  return {
    records,
    all: async () => records,
    add: async (record) => { records.push(record); },
    clear: async () => { records.length = 0; },
  };
}

const bytes = (n, fill) => new Uint8Array(n).fill(fill);
const offer = (keyHint, instead = 0) => ({ type: 'open', instead, keyHint, salt: bytes(32, 1), iv: bytes(12, 2), wrapped: bytes(48, 3) });
const message = (session, fill = 9) => ({ type: 'message', session, iv: bytes(12, fill), data: bytes(40, fill) });

async function connected(store = memory()) {
  const relay = new Relay('minutes', store);
  await relay.load();
  const [alice, bob] = ['Alice', 'Bob'].map((name) => {
    const port = new Port();
    relay.connect(name, port);
    return port;
  });
  return { relay, alice, bob, store };
}

test('whoever joins first learns that there is no session', async () => {
  const { alice, bob } = await connected();
  await alice.send({ type: 'join' });
  assert.deepEqual(alice.received, [{ type: 'session', session: null, messages: [] }]);
  assert.deepEqual(bob.received, []);
});

test('of two who open at once the first wins, and both are told of it', async () => {
  const { relay, alice, bob } = await connected();
  await Promise.all([alice.send(offer('hint-a')), bob.send(offer('hint-b'))]);
  assert.deepEqual(relay.sessions.map(({ keyHint, by }) => [keyHint, by]), [['hint-a', 'Alice']]);
  for (const { received } of [alice, bob]) {
    assert.ok(received.length > 0 && received.every(({ session }) => session.number === 1 && session.keyHint === 'hint-a'));
  }
});

test('a session is replaced only by one who knows it', async () => {
  const { relay, alice, bob } = await connected();
  await alice.send(offer('one'));
  await bob.send(offer('two', 1));
  await alice.send(offer('three', 1));
  assert.deepEqual(relay.sessions.map(({ keyHint }) => keyHint), ['one', 'two']);
  assert.equal(relay.current.number, 2);
});

test('messages go to the others, in order, and to whoever joins later', async () => {
  const { relay, alice, bob } = await connected();
  await alice.send(offer('one'));
  await alice.send(message(1, 4));
  await bob.send(message(1, 5));
  const heard = ({ received }) => received.filter(({ type }) => type === 'message').map(({ session, message: { data } }) => [session, data[0]]);
  assert.deepEqual(heard(bob), [[1, 4]]);
  assert.deepEqual(heard(alice), [[1, 5]]);
  const late = new Port();
  relay.connect('Carol', late);
  await late.send({ type: 'join' });
  assert.deepEqual(late.received[0].messages.map(({ data }) => data[0]), [4, 5]);
});

test('a message to a session that was left is kept with that session', async () => {
  const { relay, alice } = await connected();
  await alice.send(offer('one'));
  await alice.send(offer('two', 1));
  await alice.send(message(1));
  assert.deepEqual(relay.sessions.map(({ messages }) => messages.length), [1, 0]);
});

test('what does not fit is dropped', async () => {
  const { relay, alice, store } = await connected();
  for (const wrong of [
    { ...offer('x'), salt: bytes(31, 0) }, { ...offer('x'), iv: bytes(13, 0) }, { ...offer('x'), wrapped: 'text' },
    { ...offer('x'), keyHint: 'x'.repeat(257) }, { ...offer('x'), keyHint: null }, offer('x', 7),
    message(1), { type: 'else' },
  ]) await alice.send(wrong);
  assert.deepEqual([relay.sessions, store.records], [[], []]);
  await alice.send(offer('one'));
  for (const wrong of [message(2), message('1x'), { ...message(1), iv: bytes(11, 0) }, { ...message(1), data: 'text' }, { ...message(1), data: bytes((64 << 10) + 1, 0) }]) {
    await alice.send(wrong);
  }
  assert.deepEqual(relay.current.messages, []);
  await alice.send(message(1));
  assert.equal(relay.current.messages.length, 1);
});

test('all comes back from the store, the session that was reopened too', async () => {
  const first = await connected();
  await first.alice.send(offer('one'));
  await first.alice.send(message(1));
  await first.bob.send(offer('two', 1));
  await first.relay.reopen(1);
  assert.equal(first.bob.received.at(-1).session.keyHint, 'one');
  const { relay } = await connected(memory(first.store.records));
  assert.deepEqual(relay.sessions, first.relay.sessions);
  assert.equal(relay.current, relay.sessions[0]);
});

test('what is handed out is stored already', async () => {
  const store = memory();
  const { alice, bob } = await connected(store);
  await alice.send(offer('one'));
  bob.postMessage = ({ type }) => assert.deepEqual([type, store.records.at(-1).type], ['message', 'message']);
  await alice.send(message(1));
});

test('a store that fails loses the history and nothing else', async () => {
  const fail = async () => { throw new Error('no space'); };
  const { relay, alice, bob } = await connected({ all: fail, add: fail, clear: fail });
  await alice.send(offer('one'));
  await alice.send(message(1));
  assert.equal(bob.received.at(-1).type, 'message');
  assert.equal(relay.lasting, false);
});

test('cleared, it has nothing', async () => {
  const { relay, alice, store } = await connected();
  await alice.send(offer('one'));
  await relay.clear();
  assert.deepEqual([relay.sessions, relay.current, store.records, relay.contents()], [[], null, [], ['minutes']]);
  assert.equal(alice.received.at(-1).session, null);
  await alice.send(offer('next'));
  assert.equal(relay.current.number, 1);
});
