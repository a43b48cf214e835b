// What there is to try. Every step does it for real, notes what it asked and what
// came back, and ends with a sentence about what that shows, or throws an Unexpected
// if it came out otherwise.
import { count } from './elements.js';

export class Unexpected extends Error {}

function expect(holds, otherwise) {
  if (!holds) throw new Unexpected(otherwise);
}

const answered = ({ status, type, detail }) => (status === 0 ? detail : `keyhint answered ${status}, ${type ?? 'a key'}.`);
const isRefusal = (exchange, type) => exchange?.status === 403 && exchange.type === type;
const unavailable = 'urn:keyhint:key-unavailable';
const elsewhere = 'payroll';

/** The hint with another letter in the middle of its tag. */
const changeOneCharacter = (hint) => hint.slice(0, -11) + (hint.at(-11) === 'x' ? 'y' : 'x') + hint.slice(-10);

/** The steps by name: functions of a story, which takes exchanges and notes, and of the choice that goes with it. */
export function makeSteps({ alice, bob, relay, ring, documentId }) {
  const current = () => {
    expect(relay.current, 'There is no session. Open one first.');
    return relay.current;
  };
  const entryOf = ({ keyHint }) => ring.entryOf(keyHint);

  // Puts both in session number and tells what they asked on the way.
  async function join(story, number) {
    const states = await Promise.all([alice, bob].map((peer) => peer.settled(number)));
    [alice, bob].forEach(({ name }, i) => {
      if (states[i].exchange) story.exchange({ who: name, ...states[i].exchange });
    });
    return states;
  }

  async function openSession(story) {
    const asked = await alice.prepare();
    story.exchange(asked);
    expect(asked.status === 200, `Alice got no key. ${answered(asked)}`);
    const number = relay.sessions.length + 1;
    alice.propose(asked.keyHint);
    const [hers, his] = await join(story, number);
    expect(hers.is === 'open' && his.is === 'open', `Bob could not join. ${his.detail ?? hers.detail}`);
    expect(his.fingerprint === asked.fingerprint, 'Bob got another key than Alice.');
    await alice.greet('Bob');
    return asked;
  }

  return {
    async open(story) {
      const { fingerprint } = await openSession(story);
      return `Both hold key ${fingerprint}, and nobody sent it to the other: the hint was enough to ask for it. The server in between has the hint too, but may not ask.`;
    },

    async race(story) {
      const peers = [alice, bob];
      story.note('Nobody knows of the other. Each asks for a new session’s key.');
      const asked = await Promise.all(peers.map((peer) => peer.prepare()));
      asked.forEach((exchange) => story.exchange(exchange));
      for (const exchange of asked) expect(exchange.status === 200, `${exchange.who} got no key. ${answered(exchange)}`);
      expect(asked[0].fingerprint !== asked[1].fingerprint, 'Both got the same key.');
      const number = relay.sessions.length + 1;
      // In one thread somebody would always be first.
      const order = Math.random() < 0.5 ? [0, 1] : [1, 0];
      for (const i of order) peers[i].propose(asked[i].keyHint);
      const states = await Promise.all(peers.map((peer) => peer.settled(number)));
      const won = peers.findIndex(({ name }) => name === relay.current.by);
      const [winner, loser] = [peers[won], peers[1 - won]];
      story.note(`Both offer their hint to the server in between. ${winner.name}’s came first, so it is the session’s, and ${loser.name} asks again with it.`);
      const again = states[1 - won].exchange;
      expect(again, `${loser.name} did not ask again.`);
      story.exchange({ who: loser.name, ...again });
      expect(states.every(({ fingerprint }) => fingerprint === asked[won].fingerprint), 'They did not end up with one key.');
      await winner.greet(loser.name);
      story.note('And the hint that lost?');
      const own = await loser.ask({ documentId, keyHint: asked[1 - won].keyHint });
      story.exchange(own);
      expect(own.fingerprint === asked[1 - won].fingerprint, `${loser.name}’s own hint did not bring back its key.`);
      return `Both are on ${winner.name}’s key ${asked[won].fingerprint}. ${loser.name}’s own key can still be had for its hint, so nothing would be lost that was written under it.`;
    },

    async rotate(story) {
      const session = relay.current;
      const entry = await ring.addVersion();
      story.note(`${ring.file} has version ${entry.version} now. keyhint has read the file by itself, and was not restarted.`);
      expect(entry.primary, `Version ${entry.version} does not issue.`);
      const done = `Version ${entry.version} issues from now on.`;
      if (!session || bob.state.is !== 'open') return `${done} Open a new session to use it.`;
      const again = await bob.ask({ documentId, keyHint: session.keyHint });
      story.exchange(again);
      expect(again.fingerprint === bob.state.fingerprint, `Session ${session.number} does not get its key any more. ${answered(again)}`);
      return `${done} Session ${session.number} still gets the key that version ${entryOf(session).version} gave it: rotating disturbs nobody.`;
    },

    async reopen(story, choice) {
      const number = Number(choice);
      const session = relay.sessions[number - 1];
      expect(session, 'There is no other session yet. Open a new one, and come back to this one.');
      const entry = entryOf(session);
      await relay.reopen(number);
      const states = await join(story, number);
      if (!entry || entry.status === 'disabled' || entry.status === 'destroyed') {
        for (const { exchange, detail } of states) expect(isRefusal(exchange, unavailable), detail ?? 'It opened all the same.');
        return entry
          ? `Refused: version ${entry.version} is ${entry.status}, and with it the history of session ${number}.`
          : `Refused: session ${number} was made with another key ring, and nothing in this one brings its key back.`;
      }
      for (const { is, opened, detail } of states) {
        expect(is === 'open', `Session ${number} cannot be opened. ${detail}`);
        expect(opened === session.messages.length, `Only ${opened} of ${count(session.messages.length, 'message')} opened.`);
      }
      expect(states[0].fingerprint === states[1].fingerprint, 'They got different keys.');
      const all = `${session.messages.length === 1 ? 'The one message' : `All ${session.messages.length} messages`} of session ${number} opened.`;
      return entry.primary
        ? `${all} keyhint had kept nothing of it: the hint and version ${entry.version} give the key again.`
        : `${all} Version ${entry.version} issues no more, and keyhint had kept nothing of the session: the hint and the version give the key again.`;
    },

    async elsewhere(story) {
      const { keyHint } = current();
      const answer = await bob.ask({ documentId: elsewhere, keyHint });
      story.exchange(answer);
      const mismatch = 'urn:keyhint:hint-mismatch';
      expect(isRefusal(answer, mismatch), answered(answer));
      const forged = await bob.ask({ documentId, keyHint: changeOneCharacter(keyHint) });
      story.exchange(forged);
      expect(isRefusal(forged, mismatch), answered(forged));
      return `Refused: a hint of ${documentId} opens ${documentId} and nothing else. Changed by one character, it does not open even that.`;
    },

    async disable(story, check) {
      const leaked = ring.entries.find((entry) => entry.check === check);
      expect(leaked, 'There is no version that could be disabled.');
      const session = relay.sessions.findLast((candidate) => entryOf(candidate) === leaked);
      if (leaked.primary) {
        const { version } = await ring.addVersion();
        story.note(`Version ${leaked.version} issues now, so version ${version} comes first and takes over.`);
      }
      await ring.setStatus(leaked, 'disabled');
      story.note(`${ring.file} says that version ${leaked.version} is disabled, and keyhint goes by it.`);
      let shown = `keyhint opens nothing of version ${leaked.version} any more`;
      if (session) {
        const refused = await bob.ask({ documentId, keyHint: session.keyHint });
        story.exchange(refused);
        expect(isRefusal(refused, unavailable), answered(refused));
        shown += `: Bob was refused session ${session.number}`;
      }
      if (relay.current && entryOf(relay.current)?.check === check) {
        await openSession(story);
        const { version } = entryOf(relay.current);
        expect(version !== leaked.version, `The new session is of version ${version} again.`);
        shown += `. Work goes on in session ${relay.current.number} under version ${version}`;
      }
      return `${shown}. The history is closed and not gone: below, you can enable the version again.`;
    },

    async enable(story, check) {
      const entry = await ring.setStatus({ check }, 'enabled');
      story.note(`${ring.file} says that version ${entry.version} is enabled again.`);
      const session = relay.sessions.findLast((candidate) => entryOf(candidate)?.check === check);
      if (!session) return `Version ${entry.version} can be used again.`;
      const answer = await bob.ask({ documentId, keyHint: session.keyHint });
      story.exchange(answer);
      expect(answer.status === 200, answered(answer));
      return `Version ${entry.version} opens its sessions again: disabling is an emergency stop, and can be undone.`;
    },
  };
}
