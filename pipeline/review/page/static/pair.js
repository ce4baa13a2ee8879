// Side by side: the same picture under different labels. One class for all, or each its own.

import { count, el, picture, plural } from "./dom.js";
import { finder } from "./finder.js";
import { CardByCard } from "./card_by_card.js";

export class Pair extends CardByCard {
  constructor(told) {
    super(told);
    this.element = el("div", { class: "stage" });
  }

  show() {
    const card = this.queue.card;
    this.count();
    if (!card) {
      const skipped = this.queue.skipped.size;
      const text = skipped ? `${plural(skipped, "case")} skipped.` : this.queue.total ? "Each decision is on disk." : "No picture stands under two labels.";
      const again = skipped ? el("button", { class: "first", onclick: () => this.again() }, "Look again") : el("a", { href: "/" }, "All queues");
      this.element.replaceChildren(el("div", { class: "empty" }, el("h2", {}, this.queue.total ? "All decided" : "Nothing here"), el("p", {}, text), again));
      return;
    }
    this.labels = [...new Set(card.members.map((member) => member.label))];
    this.find = finder(this.names, (option) => this.all("label", option.label, option.subclass), { placeholder: "All are another class" });
    const act = (key, name, what, more = {}) => el("button", { ...more, "data-act": name, onclick: (event) => this.act(name, event) }, el("kbd", { "aria-hidden": "true" }, key), what);
    const body = el("div", { class: "pair" },
      el("div", { class: "asked" }, el("h2", {}, "One picture, ", this.labels.length === 2 ? "two labels" : plural(this.labels.length, "label"), ": which is right?")),
      el("ul", {}, card.members.map((member) => el("li", {}, picture(member, 1024), el("p", { class: "own" }, member.label, " ", el("small", { class: "note" }, member.current?.by ? `by ${member.current.by}` : "")), el("p", { class: "file" }, member.image)))),
      el("div", { class: "doing" }, this.labels.slice(0, 9).map((label, place) => act(String(place + 1), String(place + 1), `All are ${label}`, place ? {} : { class: "first" })), this.find,
        act("K", "keep", "Each is right"), act("U", "unknown", "Unknown"), act("B", "bad", "Bad"), act("S", "skip", "Skip"), act("Z", "undo", "Undo"), el("span", { class: "gap" }), el("span", { class: "note" }, `${count(card.members.length)} files`)));
    this.element.replaceChildren(body);
    this.paint([...body.querySelectorAll("img")], () => { this.element.dataset.shown = card.row; });
  }

  act(name, event) {
    if (name === "undo") return this.undo();
    if (name === "find" || name === "new") return this.find?.open();
    if (!this.queue.card || !this.meant(event)) return undefined;
    if (name === "skip") return this.hold(() => this.queue.skip());
    if (/^[1-9]$/.test(name)) return this.labels[Number(name) - 1] ? this.all("label", this.labels[Number(name) - 1]) : undefined;
    if (name === "keep") return this.each();
    if (name === "unknown" || name === "bad") return this.all(name, "");
    return undefined;
  }

  all(decision, label, subclass = "") {
    const card = this.queue.card;
    return this.hold(async () => {
      await this.queue.decide([{ row: card.row, decision, label, subclass }]);
      if (label) this.names.add(label);
    });
  }

  each() {
    const card = this.queue.card;
    return this.hold(() => this.queue.decide(card.members.map((member) => ({ row: card.row, rows: [member.row], decision: "label", label: member.label }))));
  }
}
