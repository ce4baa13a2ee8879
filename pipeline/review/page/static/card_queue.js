// The cards in hand: some ahead of the one that is shown, with their pictures, and what was decided.

import { ask, queueAddress } from "./api.js";
import { tab } from "./tab.js";

const AHEAD = 6;
const LOW = 4; // cards in hand below which more are fetched
const PICTURES = 5; // whose picture is decoded before it is shown
const LONGEST = 180; // seconds of one decision: whoever takes longer has left the table
export const SIDE = 1024;

// Of a burst, the frames that a decision may be about, and the one that is shown large at first.
export const open = (card) => card.members.filter((member) => !member.decided);
export const face = (card) => (card.blind ? card.members[0] : open(card)[0] || card.members[0]);

export class CardQueue {
  constructor(queue, by) {
    Object.assign(this, { queue, by, filter: {}, version: "", cards: [], left: 0, total: 0, exhausted: false, mode: "single" });
    this.skipped = new Set();
    this.pictures = new Map();
    this.changed = () => {};
    this.named = () => {};
    this.fetching = null;
    this.since = performance.now();
    this.away = 0;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.left_at = performance.now();
      else if (this.left_at) this.away += performance.now() - this.left_at;
    });
  }

  get card() { return this.cards[0]; }

  async start(filter) {
    this.filter = { ...filter }; // another object each time: by it, `fetch` knows an answer that comes too late
    this.fetching = null;
    this.cards = [];
    this.exhausted = false;
    await this.more();
    while (this.fetching) await this.fetching; // another start has come since
    this.shown();
  }

  shown() {
    this.since = performance.now();
    this.away = 0;
  }

  seconds() {
    return Math.max(0, Math.min(LONGEST, (performance.now() - this.since - this.away) / 1000));
  }

  more() {
    if (!this.fetching) {
      const asked = this.fetch().finally(() => { if (this.fetching === asked) this.fetching = null; });
      this.fetching = asked;
    }
    return this.fetching;
  }

  async fetch() {
    const have = this.cards.filter((card) => !card.blind).map((card) => card.row);
    const again = !this.cards.some((card) => card.blind);
    const asked = this.filter;
    const told = await ask(queueAddress(this.queue, "deal"), { by: this.by, tab, number: AHEAD, filter: asked, have, skip: [...this.skipped], again });
    if (asked !== this.filter) return;
    if (this.version && told.version !== this.version) this.cards = [];
    this.version = told.version;
    this.named(told.named); // classes that others have made meanwhile
    const lost = new Set(told.lost); // another tab of this person has taken them over
    this.cards = this.cards.filter((card, place) => !place || card.blind || !lost.has(card.row));
    const inHand = new Set(this.cards.map((card) => `${card.row} ${card.blind}`));
    const next = told.cards.filter((card) => !inHand.has(`${card.row} ${card.blind}`) && card.row !== this.deciding);
    this.cards.push(...next);
    this.exhausted = !next.length;
    this.left = told.left;
    this.total = told.total;
    this.prepare();
  }

  // The picture that is waited for comes first, and those after it then.
  prepare() {
    if (this.card) this.image(this.card).ready.then(() => this.cards.slice(0, PICTURES).forEach((card) => this.image(card)));
    const wanted = new Set(this.cards.map((card) => face(card).picture));
    for (const address of this.pictures.keys()) if (!wanted.has(address)) this.pictures.delete(address);
  }

  // The card's picture, fetched and decoded once.
  image(card) {
    const address = face(card).picture;
    if (!this.pictures.has(address)) {
      const image = new Image();
      image.alt = face(card).image;
      image.draggable = false;
      image.src = `${address}&side=${SIDE}`;
      image.ready = image.decode().then(() => true, () => false);
      this.pictures.set(address, image);
    }
    return this.pictures.get(address);
  }

  // Written first; only then the next card comes.
  async decide(answers, card = this.card) {
    this.deciding = card.row;
    try {
      const body = { by: this.by, version: this.version, answers, seconds: this.seconds(), blind: card.blind };
      const told = await ask(queueAddress(this.queue, "decide"), body);
      if (!card.blind) this.left = Math.max(0, this.left - 1);
      await this.advance();
      return told;
    } catch (error) {
      if (error.kind === "taken") await this.advance();
      if (error.kind === "changed") await this.skip();
      throw error;
    } finally {
      this.deciding = null;
    }
  }

  async skip() {
    if (!this.card) return;
    if (!this.card.blind) this.skipped.add(this.card.row);
    await this.advance();
  }

  async advance() {
    const gone = this.cards.shift();
    if (!this.cards.length && !(this.exhausted && gone?.blind)) await this.more();
    else if (this.cards.length < LOW && !this.exhausted) this.more().then(() => this.changed(), (error) => this.changed(error));
    this.prepare();
    this.shown();
  }

  // Takes back what was decided of one frame of the card that is shown.
  async takeBack(row) {
    const whole = !open(this.card).length;
    const told = await ask(queueAddress(this.queue, "take_back"), { by: this.by, version: this.version, rows: [row] });
    if (told.cards.length) this.cards[0] = told.cards[0];
    if (whole && told.undone) this.left += 1;
    this.prepare();
    return told;
  }

  // Puts the card that was decided last in front, as it was decided.
  async last() {
    const told = await ask(queueAddress(this.queue, "last"), { by: this.by });
    const [card] = told.version === this.version ? told.cards : [];
    if (card) {
      this.cards = [card, ...this.cards.filter((one) => one.row !== card.row || one.blind)];
      this.prepare();
      this.shown();
    }
    return Boolean(card);
  }

  async undo() {
    const told = await ask(queueAddress(this.queue, "undo"), { by: this.by });
    if (told.recipe === this.queue && told.cards.length) {
      const rows = new Set(told.cards.map((card) => card.row));
      this.cards = [...told.cards, ...this.cards.filter((card) => !rows.has(card.row) || card.blind)];
      for (const row of rows) this.skipped.delete(row);
      if (!told.cards[0].blind) this.left += 1;
      this.prepare();
    } else if (told.recipe === this.queue && told.undone) {
      await this.start(this.filter);
    }
    this.shown();
    return told;
  }
}
