// An editor, from outside its frame.
import { callThrough } from './link.js';
import { element } from './elements.js';

/** Dispatches "state" when something becomes of its session. */
export class Peer extends EventTarget {
  name;
  state = { is: 'none' };

  #call;

  constructor(name, call) {
    super();
    this.name = name;
    this.#call = call;
  }

  /** Puts an editor into a place of the page, connected to the relay. */
  static async open(name, place, { relay, documentId, endpoint }) {
    const frame = element('iframe', { name, title: `${name}’s editor`, src: '/@dev/editor.html' });
    const loaded = new Promise((resolve) => { frame.onload = resolve; });
    place.append(frame);
    await loaded;
    const wire = new MessageChannel();
    const control = new MessageChannel();
    const peer = new Peer(name, callThrough(control.port1, (state) => {
      peer.state = state;
      peer.dispatchEvent(new Event('state'));
    }));
    relay.connect(name, wire.port1);
    frame.contentWindow.postMessage({ name, documentId, endpoint }, location.origin, [wire.port2, control.port2]);
    return peer;
  }

  /** Asks keyhint, and tells how that went. */
  async ask(request) {
    return { who: this.name, ...await this.#call('ask', request) };
  }

  async prepare() {
    return { who: this.name, ...await this.#call('prepare') };
  }

  propose(keyHint) { return this.#call('propose', keyHint); }

  retry() { return this.#call('retry'); }

  /** Has it write the first line of a session. */
  greet(to) { return this.#call('greet', { to, number: this.state.number }); }

  /** Resolves with the state in which it is in a session, or cannot get there. */
  settled(number) {
    return new Promise((resolve) => {
      const look = () => {
        if (this.state.number !== number || !['open', 'failed'].includes(this.state.is)) return;
        this.removeEventListener('state', look);
        resolve(this.state);
      };
      this.addEventListener('state', look);
      look();
    });
  }
}
