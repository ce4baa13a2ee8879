// What the ways of deciding card by card have in common: the cards in hand, and one thing at a time.

import { plural, toast } from "./dom.js";
import { CardQueue } from "./card_queue.js";

export class CardByCard {
  constructor({ about, by, names, hear }) {
    Object.assign(this, { about, names, hear, busy: false });
    this.queue = new CardQueue(about.name, by);
    this.queue.changed = (error) => (error ? hear(error) : this.count());
    this.queue.named = (classes) => classes.forEach((label) => names.add(label));
  }

  async open(filter) {
    await this.queue.start(filter);
    this.show();
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
