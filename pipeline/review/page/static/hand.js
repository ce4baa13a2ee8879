// What the ways of deciding card by card have in common: the cards in hand, and one thing at a time.

import { plural, toast } from "./dom.js";
import { Deck } from "./deck.js";

export class Hand {
  constructor({ about, by, names, hear }) {
    Object.assign(this, { about, names, hear, busy: false });
    this.deck = new Deck(about.name, by);
    this.deck.changed = (error) => (error ? hear(error) : this.count());
    this.deck.named = (classes) => classes.forEach((label) => names.add(label));
  }

  async open(filter) {
    await this.deck.start(filter);
    this.show();
  }

  count() {
    this.hear(null, { left: this.deck.left, total: this.deck.total });
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
      const told = await this.deck.undo();
      const where = told.recipe === this.about.name ? "" : ` in ${told.recipe}`;
      toast(told.undone ? `Taken back${where}: ${plural(told.undone, "picture")}.` : "There is nothing to take back.");
    });
  }

  again() {
    this.deck.skipped.clear();
    return this.hold(() => this.deck.start(this.deck.filter));
  }
}
