// The text ends up the same for all, and no character is lost.
import assert from 'node:assert/strict';
import test from 'node:test';
import { SharedText } from '../assets/text.js';

/** A generator of random integers below n (mulberry32). */
function generator(seed) {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const wire = (change) => JSON.parse(JSON.stringify(change));

/** Sites that send their changes through a relay, which puts them in an order. */
class Network {
  constructor(names) {
    this.sites = names.map((name) => ({ text: new SharedText(name), value: '', out: [], read: 0 }));
    this.order = [];
  }

  edit(i, value) {
    const site = this.sites[i];
    const change = site.text.edit(value);
    if (change) site.out.push({ from: i, change: wire(change) });
    site.value = value;
    assert.equal(site.text.value, value);
  }

  /** The relay takes the next change of a site. */
  send(i) {
    const next = this.sites[i].out.shift();
    if (next) this.order.push(next);
    return next !== undefined;
  }

  /** A site gets the next change of the others. What apply returns is what becomes of the value. */
  receive(i) {
    const site = this.sites[i];
    if (site.read === this.order.length) return false;
    const { from, change } = this.order[site.read++];
    if (from === i) return true;
    for (const { at, length, insert } of site.text.apply(change)) {
      site.value = site.value.slice(0, at) + insert + site.value.slice(at + length);
    }
    assert.equal(site.text.value, site.value);
    return true;
  }

  settle() {
    for (let i = 0; i < this.sites.length; i++) while (this.send(i));
    for (let i = 0; i < this.sites.length; i++) while (this.receive(i));
    const [{ value }] = this.sites;
    for (const site of this.sites) assert.equal(site.value, value);
    return value;
  }
}

test('random edits at three sites at once', (t) => {
  const first = Number(process.env.SEED ?? Date.now() % 1e9);
  t.diagnostic(`seeds ${first} to ${first + 199}; SEED sets the first`);
  for (let seed = first; seed < first + 200; seed++) {
    const random = generator(seed);
    const network = new Network(['a', 'b', 'c']);
    const typed = new Set();
    const removed = new Set();
    let next = 0x1f300; // every character is typed once, and most take two UTF-16 units
    for (let step = 0; step < 120; step++) {
      const i = random(3);
      switch (random(4)) {
        case 0: case 1: {
          const value = Array.from(network.sites[i].value);
          const at = random(value.length + 1);
          const length = Math.min(random(4), value.length - at);
          const added = Array.from({ length: random(5) }, () => String.fromCodePoint(next++));
          added.forEach((char) => typed.add(char));
          value.splice(at, length, ...added).forEach((char) => removed.add(char));
          network.edit(i, value.join(''));
          break;
        }
        case 2: network.send(i); break;
        default: network.receive(i);
      }
    }
    const end = Array.from(network.settle());
    const want = [...typed].filter((char) => !removed.has(char));
    assert.deepEqual(end.sort(), want.sort(), `seed ${seed}`);
  }
});

test('what is typed in one go stays together', () => {
  const network = new Network(['a', 'b']);
  network.edit(0, '[]');
  network.settle();
  network.edit(0, '[left]');
  network.edit(1, '[right]');
  assert.ok(['[leftright]', '[rightleft]'].includes(network.settle()));
});

test('one removes what the other types into', () => {
  const network = new Network(['a', 'b']);
  network.edit(0, 'abcdef');
  network.settle();
  network.edit(0, 'af');
  network.edit(1, 'abcXdef');
  assert.equal(network.settle(), 'aXf');
});

test('both remove the same', () => {
  const network = new Network(['a', 'b']);
  network.edit(0, 'abc');
  network.settle();
  network.edit(0, 'ac');
  network.edit(1, 'a');
  assert.equal(network.settle(), 'a');
});

test('the history alone gives the text', () => {
  const network = new Network(['a', 'b']);
  network.edit(0, 'Zeile\n𝄞 und é');
  network.settle();
  network.edit(1, 'Zeile\n𝄞é');
  const value = network.settle();
  const late = new SharedText('late');
  for (const { change } of network.order) late.apply(change);
  assert.equal(late.value, value);
});

test('a character that is typed into and whole again', () => {
  const network = new Network(['a', 'b']);
  network.edit(0, '[𝄞]');
  network.settle();
  network.edit(0, '[\ud834 \udd1e]');
  assert.equal(network.settle(), '[\ud834 \udd1e]');
  network.edit(1, '[𝄞]');
  network.settle();
  network.edit(0, '[𝄞!]');
  assert.equal(network.settle(), '[𝄞!]');
});

test('no change is no change', () => {
  const text = new SharedText('a');
  assert.equal(text.edit(''), null);
  text.edit('same');
  assert.equal(text.edit('same'), null);
});

test('a change whose cause is missing is an error', () => {
  const there = new SharedText('a');
  there.edit('first');
  const second = there.edit('first and second');
  const here = new SharedText('b');
  assert.throws(() => here.apply(second), RangeError);
  assert.equal(here.value, '');
});
