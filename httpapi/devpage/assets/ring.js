// The key ring of "keyhint dev", as it is in force, and the changes that the page
// can make to it.

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Dispatches "change" when the ring, or whether keyhint can be reached, is another. */
export class Ring extends EventTarget {
  endpoint = ''; // its path
  file = ''; // the configuration's name
  entries = []; // as "keyhint keyring list --json" prints them
  reachable = true;

  #known = '';

  /** Asks for the ring. Returns whether keyhint could be reached. */
  async refresh() {
    let text = '';
    try {
      const response = await fetch('/@dev/ring', { signal: AbortSignal.timeout(3000) });
      if (response.ok) text = await response.text();
    } catch {
      // The text stays empty.
    }
    const was = this.reachable;
    this.reachable = text !== '';
    if (this.reachable && text !== this.#known) {
      const { ring, ...rest } = JSON.parse(text);
      Object.assign(this, rest, { entries: ring.entries });
      this.#known = text;
    } else if (was === this.reachable) return this.reachable;
    this.dispatchEvent(new Event('change'));
    return this.reachable;
  }

  /** Keeps the ring up to date while somebody looks. */
  async follow() {
    for (;;) {
      await pause(this.reachable ? 2000 : 1000);
      if (document.visibilityState === 'visible') await this.refresh();
    }
  }

  get primary() {
    return this.entries.find(({ primary }) => primary);
  }

  /** The entry that a hint names, by version and fingerprint. */
  entryOf(keyHint) {
    const name = keyHint.split('.')[1];
    return this.entries.find(({ check }) => check.startsWith(name));
  }

  /** Adds a version and returns its entry when it is in force. */
  async addVersion() {
    const { check } = await post('/@dev/versions', {});
    return this.#until(check, () => true);
  }

  /** Enables or disables an entry, and returns it when that is in force. */
  async setStatus({ check }, status) {
    await post('/@dev/status', { check, status });
    return this.#until(check, (entry) => entry.status === status);
  }

  async #until(check, holds) {
    for (let end = performance.now() + 10_000; performance.now() < end; await pause(50)) {
      await this.refresh();
      const entry = this.entries.find((candidate) => candidate.check === check);
      if (entry && holds(entry)) return entry;
    }
    throw new Error(`${this.file} was changed, but the change did not come into force. The log of keyhint says why.`);
  }
}

async function post(path, body) {
  let response;
  try {
    response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  } catch {
    throw new Error('keyhint cannot be reached.');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail ?? `keyhint answered with status ${response.status}.`);
  return answer;
}
