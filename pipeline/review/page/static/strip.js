// The frames of a burst, in the order of their names: one decision for all of them but those that are left out.

import { el, picture, plural } from "./dom.js";

const inOrder = (one, other) => one.image.localeCompare(other.image, "en", { numeric: true });

export class Strip {
  // look: shows a frame large; change: is called when other frames are meant; takeBack: what was decided of a row.
  constructor(card, { by, look, change, takeBack }) {
    Object.assign(this, { card, by, look, change, takeBack, out: new Set(), members: [...card.members].sort(inOrder) });
    const first = this.members.findIndex((member) => !member.decided && member === card.members.find((one) => !one.decided));
    this.at = Math.max(0, first);
    this.boxes = this.members.map((member, place) => this.box(member, place));
    this.element = el("ul", { "aria-label": "The frames of one event: X leaves one out" }, this.boxes.map((box) => el("li", {}, box)));
    this.element.addEventListener("keydown", (event) => this.walk(event));
    this.tell();
  }

  box(member, place) {
    const image = picture(member, 160, { tiny: true, alt: "" });
    const said = member.decided ? el("span", { class: "said" }, member.decided.said) : "";
    const otherwise = !member.decided && member.alone.label && member.alone.label !== this.card.label;
    return el("button", {
      class: "frame", role: "checkbox", tabindex: place === this.at ? "0" : "-1", "data-row": member.row,
      onclick: () => this.toggle(place), onfocus: () => this.go(place), onpointerenter: () => this.look(member), onpointerleave: () => this.look(this.members[this.at]),
    }, image, said, otherwise ? el("i", { class: "otherwise", title: `alone: ${member.alone.label}` }) : "");
  }

  // The rows that the next decision is about.
  rows() {
    return this.members.filter((member) => !member.decided && !this.out.has(member.row)).map((member) => member.row);
  }

  done() {
    return this.members.every((member) => member.decided);
  }

  summary() {
    const [all, meant] = [this.members.length, this.rows().length];
    if (this.done()) return `${plural(all, "frame")}, all decided`;
    return meant === all ? `${plural(all, "frame")}, one decision` : `${meant} of ${plural(all, "frame")}, one decision`;
  }

  tell() {
    this.boxes.forEach((box, place) => {
      const { image, row, decided } = this.members[place];
      const meant = !decided && !this.out.has(row);
      const state = decided ? `decided by ${decided.by}: ${decided.said}${decided.by === this.by ? "; X takes it back" : ""}` : meant ? "part of the decision" : "left out";
      box.setAttribute("aria-checked", String(meant));
      box.setAttribute("aria-label", `${image}: ${state}`);
      box.title = state;
      box.classList.toggle("out", !decided && !meant);
      box.classList.toggle("done", Boolean(decided));
    });
  }

  toggle(place) {
    const { row, decided } = this.members[place];
    this.at = place;
    if (decided) return decided.by === this.by ? this.takeBack(row) : undefined;
    if (!this.out.delete(row)) this.out.add(row);
    this.tell();
    this.change();
    return undefined;
  }

  // X from anywhere: the first time it goes to the strip, then it leaves the frame out, or takes it back.
  act() {
    if (this.element.contains(document.activeElement)) return this.toggle(this.at);
    return this.boxes[this.at].focus();
  }

  // The frame of this row has the focus once the strip is shown.
  startAt(row) {
    this.at = Math.max(0, this.members.findIndex((member) => member.row === row));
    this.focus = true;
    this.tell();
  }

  attached() {
    if (this.focus) this.boxes[this.at].focus();
    this.focus = false;
  }

  go(place) {
    this.boxes.forEach((box, other) => { box.tabIndex = other === place ? 0 : -1; });
    this.at = place;
    this.look(this.members[place]);
  }

  walk(event) {
    const all = this.members.length;
    const next = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1 + all, Home: 0, End: all - 1 }[event.key];
    if (event.key === "Escape") document.activeElement.blur();
    else if (event.key === " ") this.toggle(this.at);
    else if (next !== undefined) this.boxes[next % all].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
