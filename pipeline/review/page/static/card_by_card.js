// What the ways of deciding card by card have in common: the cards in hand, and one thing at a time.

import { isMeant, painted, plural, toast } from "./dom.js";
import { CardQueue } from "./card_queue.js";

export class CardByCard {
  constructor({ about, by, names, hear }) {
    Object.assign(this, { about, names, hear, busy: false, seen_since: null });
    this.queue = new CardQueue(about.name, by);
    this.queue.changed = (error) => (error ? hear(error) : this.count());
    this.queue.named = (classes) => classes.forEach((label) => names.add(label));
  }

  async open(filter) {
    await this.queue.start(filter);
    this.show();
  }

  // The card is there; it can be decided once its pictures are painted.
  paint(images, then = () => {}) {
    const turn = (this.turn = (this.turn || 0) + 1);
    this.seen_since = null;
    painted(images).then((now) => {
      if (turn !== this.turn) return;
      this.seen_since = now;
      then();
    });
  }

  // Whether a key or button is meant for the card that is shown.
  meant(event) {
    return !this.busy && isMeant(event, this.seen_since);
  }

  count() {
    this.hear(null, { left: this.queue.left, total: this.queue.total });
  }

  // A key that is pressed while a decision is written is not meant for the picture to come.
  async hold(work) {
    if (this.busy) return;
    this.busy = true;
    try {
      await work();
      this.hear(null, {});
      this.show();
    } catch (error) {
      if (error.kind === "taken" || error.kind === "changed") { toast(error.message); this.show(); } else this.hear(error);
    } finally {
      this.busy = false;
    }
  }

  undo() {
    return this.hold(async () => {
      const told = await this.queue.undo();
      const where = told.recipe === this.about.name ? "" : ` in ${told.recipe}`;
      toast(told.undone ? `Taken back${where}: ${plural(told.undone, "picture")}.` : "There is nothing to take back.");
    });
  }

  again() {
    this.queue.skipped.clear();
    return this.hold(() => this.queue.start(this.queue.filter));
  }
}
