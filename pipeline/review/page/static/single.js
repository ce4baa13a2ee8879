// One by one: the picture, and all that helps to say what it shows.

import { ask } from "./api.js";
import { el, percent, picture, plural, prose, toast } from "./dom.js";
import { finder, standing } from "./finder.js";
import { SIDE, face, open } from "./card_queue.js";
import { CardByCard } from "./card_by_card.js";
import { Strip } from "./strip.js";

const NEAR = 6;
const sure = (score) => (score === null || score === undefined ? "" : `${percent(score)} sure`);

export class Single extends CardByCard {
  constructor(told) {
    super(told);
    this.audit = told.about.kind === "audit";
    this.build();
  }

  build() {
    this.frame = el("div", { class: "pic", role: "button", tabindex: "-1", "aria-label": "Magnify the picture", onclick: () => this.zoom() });
    this.caption = el("p", { class: "caption" }, (this.file = el("span", { class: "file" })), (this.alone = el("span", { class: "num" })), (this.many = el("span")));
    this.film = el("div", { class: "film", role: "group", "aria-label": "The burst, or the files next to this one" });
    this.asked = el("div", { class: "asked", "aria-live": "polite" });
    this.candidates = el("ol", { class: "candidates", "aria-label": "What the model sees" });
    this.find = finder(this.names, (option) => this.name(option), { placeholder: "Another class, or a new one" });
    this.near = el("section", { class: "near", hidden: true });
    const act = (key, name, what, more = {}) => el("button", { ...more, "data-act": name, onclick: (event) => this.act(name, event) }, el("kbd", { "aria-hidden": "true" }, key), what);
    this.accept = act("⏎", "accept", "Accept", { class: "first wide" });
    this.actions = el("div", { class: "actions" }, this.accept,
      this.audit ? act("K", "keep", "Keep label") : act("U", "unknown", "Unknown"), act("B", "bad", this.audit ? "Remove" : "Bad"), act("S", "skip", "Skip"),
      this.audit ? act("U", "unknown", "Unknown") : act("K", "keep", "Keep"), act("N", "new", "New class"), act("Z", "undo", "Undo"));
    this.body = el("div", { class: "single" },
      el("div", { class: "look" }, this.frame, this.caption, this.film),
      el("div", { class: "side" }, this.asked, this.candidates, this.find, this.actions, this.near));
    this.element = el("div", { class: "stage" }, this.body);
  }

  show() {
    const card = this.queue.card;
    this.count();
    if (!card) return this.end();
    if (!this.element.contains(this.body)) this.element.replaceChildren(this.body);
    const first = face(card);
    if (this.strip?.card !== card) this.strip = card.members.length > 1 && !card.blind ? this.framed(card) : null;
    const image = this.queue.image(card);
    this.seen_since = null;
    this.at = first;
    this.tellAlone(this.queue.card.blind ? { alone: {} } : first);
    this.frame.replaceChildren(image);
    image.ready.then((shown) => {
      if (this.queue.card !== card) return;
      if (!shown && this.at === first) this.frame.replaceChildren(...picture(first, SIDE).childNodes);
      this.film.classList.toggle("strip", Boolean(this.strip));
      this.film.replaceChildren(...(this.strip ? [this.strip.element] : this.beside(card)));
      this.strip?.attached();
      this.paint([], () => Object.assign(this.element.dataset, { shown: card.row, card: `${card.row} ${card.blind ? "again" : "first"}` }));
    });
    this.file.textContent = `\u200e${first.image}`;
    this.many.textContent = this.strip ? this.strip.summary() : "";
    this.film.replaceChildren();
    this.ask(card);
    this.nearest(card);
    for (const next of this.queue.cards.slice(1, 3)) this.nearest(next, true);
  }

  framed(card) {
    const strip = new Strip(card, {
      by: this.queue.by,
      look: (member) => this.look(member),
      change: () => { this.many.textContent = strip.summary(); this.offer(card); },
      takeBack: (row) => this.takeBack(row),
    });
    return strip;
  }

  // Shows another frame of the burst large.
  look(member) {
    const same = this.frame.querySelector("img")?.alt === member.image;
    this.at = member;
    this.file.textContent = `\u200e${member.image}`;
    this.tellAlone(member);
    if (!same) this.frame.replaceChildren(...picture(member, SIDE).childNodes);
  }

  tellAlone({ alone }) {
    this.alone.textContent = alone.label ? `alone: ${alone.label} ${percent(alone.score)}` : "";
  }

  takeBack(row) {
    const { out } = this.strip;
    return this.hold(async () => {
      const told = await this.queue.takeBack(row);
      if (told.cards.length) {
        this.strip = this.framed(told.cards[0]);
        this.strip.out = out;
        this.strip.startAt(row);
      }
      toast(told.undone ? "Taken back: 1 picture." : "There is nothing to take back.");
    });
  }

  beside(card) {
    const tiny = (shown) => picture(shown, 160, { tiny: true, alt: `next to it: ${shown.image}` });
    const here = tiny(card.members[0]);
    here.classList.add("here");
    if (!card.before.length && !card.after.length) return [];
    return [...card.before.map(tiny), here, ...card.after.map(tiny)];
  }

  ask(card) {
    const first = card.members[0];
    const suggests = card.label && !card.blind;
    this.offer(card);
    this.asked.dataset.suggested = suggests ? card.label : "";
    this.accept.lastChild.textContent = this.strip?.done() ? "Go on" : suggests ? (this.audit ? `Yes: ${card.label}` : `Accept ${card.label}`) : "Accept";
    this.candidates.hidden = card.blind;
    if (card.blind) {
      this.asked.replaceChildren(el("h2", {}, "What is this?"), el("p", {}, "You have seen this one before. Say it again, without the model: so we learn how often people err."));
      return;
    }
    const score = card.score === null ? "" : el("small", { class: "num" }, sure(card.score));
    if (this.audit && first.current) {
      const said = first.current;
      this.asked.replaceChildren(el("dl", { class: "versus" },
        el("dt", {}, "labelled"), el("dd", {}, said.subclass ? `${said.label}, ${said.subclass}` : said.label, " ", el("small", {}, said.by ? `by ${said.by}` : "")),
        el("dt", {}, "model sees"), el("dd", {}, card.label, " ", score)), el("p", { class: "reason" }, card.reason));
    } else {
      this.asked.replaceChildren(el("h2", {}, card.label || "What is this?", " ", score), el("p", { class: "reason" }, card.reason));
    }
    this.candidates.replaceChildren(...card.top.slice(0, 6).map((one, place) => el("li", {}, el("button", { "data-label": one.label, onclick: (event) => { if (this.meant(event)) this.say("label", one.label); } },
      el("kbd", { "aria-hidden": "true" }, String(place + 1)),
      el("span", {}, el("span", { class: "name" }, one.label), el("span", { class: "what num" },
        el("span", { class: "meter", "aria-hidden": "true" }, el("i", { "--share": `${100 * (one.score || 0)}%` })), sure(one.score),
        one.standing ? el("span", { class: one.standing.short_by > 0 ? "short" : "", title: "groups of images on the board; of those that the cutoff asks for" }, standing(one.standing)) : "")),
      el("span", { class: "strip", "aria-hidden": "true" }, one.samples.map((sample) => picture(sample, 160, { tiny: true, alt: "" })))))));
  }

  // A decision needs a suggestion, and of a burst at least one frame.
  offer(card) {
    const frames = this.strip ? this.strip.rows().length : 1;
    this.accept.disabled = !card.label || card.blind || !(frames || this.strip.done());
  }

  async nearest(card, ahead = false) {
    if (!ahead) this.near.hidden = true;
    if (card.blind) return;
    if (card.nearest === undefined) {
      card.nearest = ask(`/api/nearest?${new URLSearchParams({ image: card.members[0].image, sha256: card.sha256 })}`).catch(() => ({ nearest: [] }));
    }
    const { nearest, seen_by: network } = await card.nearest;
    if (ahead || this.queue.card !== card || !nearest.length) return;
    const title = network ? `Nearest labelled images, as ${network} sees them` : "Nearest labelled images";
    this.near.replaceChildren(el("h3", {}, title), el("ul", {}, nearest.slice(0, NEAR).map((one) => el("li", { title: `${one.label}: ${one.image}` }, picture(one, 160, { tiny: true, alt: "" }), one.label))));
    this.near.hidden = false;
  }

  // What a key or a button does.
  async act(name, event) {
    if (name === "undo") return this.undo();
    if (name === "new" || name === "find") return this.find.open();
    if (name === "zoom") return this.zoom();
    if (name === "last") return this.last();
    const card = this.queue.card;
    if (!card) return;
    if (!this.meant(event)) return; // it was pressed before this card was painted
    if (name === "frame") { this.strip?.act(); return; }
    const done = this.strip?.done();
    if (name === "skip" || (done && name === "accept")) return this.hold(() => (done ? this.queue.advance() : this.queue.skip()));
    if (name === "accept") { if (card.label && !card.blind) await this.say("label", card.label); return; }
    if (/^[1-6]$/.test(name)) {
      const one = card.blind ? null : card.top[Number(name) - 1];
      if (one) await this.say("label", one.label);
      return;
    }
    await this.say(name, "");
  }

  name(option) {
    if (!this.queue.card || !this.meant()) return;
    this.say("label", option.label, option.subclass);
  }

  say(decision, label, subclass = "") {
    const card = this.queue.card;
    const rows = this.strip ? this.strip.rows() : [];
    const left = this.strip ? open(card).length - rows.length : 0;
    if (this.strip && !rows.length) {
      toast(this.strip.done() ? "All frames are decided: X takes one back, S goes on." : "Every frame is left out: X brings one back.");
      return undefined;
    }
    const what = decision === "label" ? (subclass ? `${label}, ${subclass}` : label) : { unknown: "unknown", bad: "a bad picture", keep: "left as it is" }[decision];
    return this.hold(async () => {
      await this.queue.decide([{ row: card.row, decision, label, subclass, rows }], card);
      if (label) this.names.add(label); // only now: the server refuses some names
      const size = rows.length || 1;
      if (this.strip) toast(`${plural(size, "frame")}: ${what}.${left ? ` Next: the ${left === 1 ? "one" : left} left out.` : ""}`);
      this.hear(null, { said: card.blind || size === 1 ? what : `${plural(size, "picture")}: ${what}` });
      if (left) await this.queue.start(this.queue.filter);
    });
  }

  last() {
    return this.hold(async () => { if (!(await this.queue.last())) toast("The last decision was not on one card of this queue."); });
  }

  zoom() {
    if (!this.queue.card) return;
    const dialog = el("dialog", { class: "zoom", "aria-label": "The picture, magnified" }, el("img", { alt: this.at.image, src: `${this.at.picture}&side=2400` }));
    const close = () => dialog.close();
    dialog.addEventListener("click", close);
    dialog.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); close(); } event.stopPropagation(); });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  end() {
    const put = this.queue.skipped.size;
    const again = el("button", { class: "first", onclick: () => this.again() }, `Look at ${put === 1 ? "it" : "them"} again`);
    const { least, most, order, ...others } = this.queue.filter;
    const filtered = Object.values(others).some(Boolean) || least > 0 || most < 1;
    const [title, text] = put ? [`${plural(put, "picture")} skipped`, "All others here are decided."]
      : this.queue.left ? ["Others are at it", `${plural(this.queue.left, "picture")} here ${this.queue.left === 1 ? "is" : "are"} in somebody else’s hands.`]
      : filtered && this.about.cards && !this.queue.total ? ["Nothing fits", "No picture of this queue is like that: loosen the filter."]
      : this.queue.total ? ["All decided", "Each decision is on disk. Next: another queue, or `wallaby apply`."]
      : ["Nothing here", "Either no picture is of this kind this round, or the section queue in configs/params.yaml lets none through."];
    delete this.element.dataset.shown;
    this.element.replaceChildren(el("div", { class: "empty", tabindex: "-1" }, el("h2", {}, title), el("p", {}, prose(text)), put ? again : el("a", { href: "/" }, "All queues"), el("button", { class: "plain", onclick: () => this.undo() }, el("kbd", { "aria-hidden": "true" }, "Z"), "Undo the last decision")));
  }
}
