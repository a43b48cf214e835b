// A text that several people change at once and that ends up the same for all.
//
// It is a replicated growable array (Roh et al., 2011): every character keeps an id
// for good, a Lamport number with the site that made it, and is inserted after the
// character that it was typed behind. Of characters typed behind the same one, the
// later ids come first. Removed characters stay as marks, so that others may still
// be inserted behind them.
//
// Changes may arrive in any order that keeps causes before effects: a site's own in
// the order it made them, each after all that the site had seen.

const comesLater = (a, b) => a.n > b.n || (a.n === b.n && a.site > b.site);

export class SharedText {
  #site;
  #clock = 0; // the highest number seen
  #atoms = []; // {n, site, char, gone}, in the order of the text

  /** site is a string that no other site of this text has. */
  constructor(site) {
    this.#site = site;
  }

  get value() {
    return this.#visible().map(({ char }) => char).join('');
  }

  /** Makes the text another one. Returns the change for the other sites, or null if there is none. */
  edit(value) {
    const old = this.#visible();
    const next = Array.from(value);
    const shorter = Math.min(old.length, next.length);
    let start = 0;
    while (start < shorter && old[start].char === next[start]) start++;
    let end = 0;
    while (end < shorter - start && old.at(-1 - end).char === next.at(-1 - end)) end++;
    const removed = old.slice(start, old.length - end);
    const inserted = next.slice(start, next.length - end);
    if (removed.length + inserted.length === 0) return null;
    const change = {
      remove: runs(removed),
      after: start > 0 ? [old[start - 1].n, old[start - 1].site] : null,
      id: [this.#clock + 1, this.#site],
      insert: inserted.join(''),
    };
    this.apply(change);
    return change;
  }

  /**
   * Applies a change. Returns what becomes of the value, step by step, as {at, length, insert}: at and length say what
   * is replaced, in UTF-16 units. Throws a RangeError if a cause of the change is missing.
   */
  apply({ remove, after, id: [first, site], insert }) {
    const steps = [];
    for (const [n, of, count] of remove) {
      for (let i = 0; i < count; i++) {
        const index = this.#find(n + i, of);
        const atom = this.#atoms[index];
        if (atom.gone) continue; // somebody else was faster
        steps.push({ at: this.#offset(index), length: atom.char.length, insert: '' });
        atom.gone = true;
      }
    }
    let index = after ? this.#find(...after) + 1 : 0;
    let n = first;
    for (const char of insert) {
      const atom = { n: n++, site, char, gone: false };
      while (index < this.#atoms.length && comesLater(this.#atoms[index], atom)) index++;
      steps.push({ at: this.#offset(index), length: 0, insert: char });
      this.#atoms.splice(index++, 0, atom);
    }
    this.#clock = Math.max(this.#clock, n - 1);
    return steps;
  }

  #visible() {
    return this.#atoms.filter(({ gone }) => !gone);
  }

  #find(n, site) {
    const index = this.#atoms.findIndex((atom) => atom.n === n && atom.site === site);
    if (index < 0) throw new RangeError('a change is missing');
    return index;
  }

  #offset(index) {
    let offset = 0;
    for (let i = 0; i < index; i++) if (!this.#atoms[i].gone) offset += this.#atoms[i].char.length;
    return offset;
  }
}

/** The ids of characters as [first number, site, count]. */
function runs(atoms) {
  const list = [];
  for (const { n, site } of atoms) {
    const last = list.at(-1);
    if (last && last[1] === site && last[0] + last[2] === n) last[2]++;
    else list.push([n, site, 1]);
  }
  return list;
}
