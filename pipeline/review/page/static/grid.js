// Many at once: pictures of one class, or of one cluster. Cross out what is not like the others; the rest is one stroke.

import { ask, queueAddress } from "./api.js";
import { count, el, isMeant, painted, percent, picture, plural, toast } from "./dom.js";
import { finder } from "./finder.js";
import { open } from "./card_queue.js";
import { tab } from "./tab.js";

const LEAST = 60; // tiles that are asked for
const MOST = 200; // that the server deals at once
const TILE = { width: 138, height: 168 }; // pixels, about

export class Grid {
  constructor({ about, by, names, hear, by_cluster }) {
    Object.assign(this, { about, by, names, hear, by_cluster, cards: [], crossed: new Set(), busy: false });
    this.groups = by_cluster ? about.clusters : about.labels;
    this.group = this.groups.length ? this.groups[0][0] : "";
    this.greedy = true;
    this.build();
  }

  build() {
    this.list = el("ul");
    this.tiles = el("ul", { class: "tiles", "aria-label": "Pictures; cross out those that do not belong" });
    this.accept = el("button", { class: "first", "data-act": "accept", onclick: (event) => this.act("accept", event) }, el("kbd", { "aria-hidden": "true" }, "⏎"), "Accept");
    this.find = finder(this.names, (option) => this.name(option), { placeholder: this.by_cluster ? "Name this cluster" : "They are another class" });
    this.told = el("span", { class: "note" });
    const act = (key, name, what) => el("button", { "data-act": name, onclick: (event) => this.act(name, event) }, el("kbd", { "aria-hidden": "true" }, key), what);
    this.doing = el("div", { class: "doing" }, this.by_cluster ? "" : this.accept, this.find, act("U", "unknown", "Unknown"), act("B", "bad", "Bad"), act("S", "skip", "Later"), act("Z", "undo", "Undo"), el("span", { class: "gap" }), this.told);
    this.element = el("div", { class: "board" }, el("nav", { "aria-label": this.by_cluster ? "Clusters" : "Classes" }, this.list), el("div", { class: "work" }, this.tiles, this.doing));
    this.tiles.addEventListener("keydown", (event) => this.walk(event));
  }

  async open(filter) {
    this.filter = filter;
    this.later = new Set();
    if (filter.label && !this.by_cluster) this.group = filter.label;
    this.listed();
    await this.load();
  }

  listed() {
    this.list.replaceChildren(...this.groups.slice(0, 400).map(([name, number]) => el("li", {}, el("button", { "aria-current": String(name === this.group), onclick: () => this.pick(name) }, el("span", {}, name), el("small", { class: "num" }, count(number))))));
  }

  pick(name) {
    if (name === this.group) return undefined;
    this.group = name;
    this.later = new Set();
    this.tiles.replaceChildren(); // what is clicked from now on is meant for the pictures to come
    for (const button of this.list.querySelectorAll("button")) button.setAttribute("aria-current", String(button.firstChild.textContent === name));
    return this.load().catch((error) => this.hear(error));
  }

  async load() {
    const turn = (this.turn = (this.turn || 0) + 1);
    this.seen_since = null;
    const number = this.fitting();
    if (!this.tiles.childElementCount) this.wait(number);
    const wanted = { ...this.filter, [this.by_cluster ? "cluster" : "label"]: this.group };
    const told = await ask(queueAddress(this.about.name, "deal"), { by: this.by, tab, number, filter: wanted, skip: [...this.later] });
    if (turn !== this.turn) return;
    for (const label of told.named) this.names.add(label); // that others have made meanwhile
    Object.assign(this, { version: told.version, cards: told.cards, left: told.left, crossed: new Set(), at: 0, since: performance.now() });
    this.hear(null, { left: told.left, total: told.total });
    this.show(told);
    const now = await painted([...this.tiles.querySelectorAll("img[loading=eager]")]);
    if (turn !== this.turn) return;
    this.seen_since = now;
    this.tiles.dataset.shown = this.group;
  }

  // So many tiles as fill the window, and a few beyond it.
  fitting() {
    const { width, height } = (this.tiles.isConnected ? this.tiles : document.documentElement).getBoundingClientRect();
    const columns = Math.max(1, Math.floor(width / TILE.width));
    return Math.min(MOST, Math.max(LEAST, columns * (Math.ceil(Math.min(height || innerHeight, innerHeight) / TILE.height) + 1)));
  }

  // Empty tiles stand there until the server has answered.
  wait(number) {
    this.tiles.setAttribute("aria-busy", "true");
    this.tiles.replaceChildren(...Array.from({ length: number }, () => el("li", { class: "skeleton", "aria-hidden": "true" }, el("span", { class: "pic" }), el("span", { class: "what" }))));
  }

  show(told) {
    this.tiles.removeAttribute("aria-busy");
    delete this.tiles.dataset.shown;
    this.tiles.replaceChildren(...this.cards.map((card, place) => {
      const button = el("button", { class: "tile", "aria-pressed": "false", tabindex: place ? "-1" : "0", "data-row": card.row, "aria-label": `${card.label || "no suggestion"}, ${percent(card.score)}: ${card.members[0].image}`, onclick: (event) => this.cross(place, event.shiftKey) },
        picture(card.members[0], 480, { alt: "", lazy: place > 30 }), el("span", { class: "what" }, el("b", {}, this.by_cluster ? card.label : ""), el("span", { class: "num" }, percent(card.score))),
        card.members.length > 1 ? el("span", { class: "many" }, String(card.members.length)) : "");
      return el("li", {}, button);
    }));
    if (!this.cards.length) {
      const text = told.left ? `${plural(told.left, "picture")} put aside, or in somebody else’s hands.` : told.total ? "All decided here." : "No picture of this queue is like that.";
      this.tiles.replaceChildren(el("li", { class: "note" }, text));
    }
    this.tiles.scrollTop = 0;
    this.tell();
  }

  tell() {
    const [crossed, all] = [this.crossed.size, this.cards.length];
    this.accept.disabled = all === crossed;
    this.accept.lastChild.textContent = `Accept ${count(all - crossed)} as ${this.group}`;
    const meant = crossed && !this.by_cluster ? `${crossed} crossed out: a class, unknown or bad is meant for ${crossed === 1 ? "it" : "them"}` : crossed ? `${crossed} crossed out: left for later` : "click what does not belong";
    this.told.textContent = all ? meant : "";
  }

  cross(place, range) {
    const card = this.cards[place];
    const on = !this.crossed.has(card.row);
    const [from, to] = range ? [Math.min(place, this.at), Math.max(place, this.at)] : [place, place];
    for (let i = from; i <= to; i += 1) {
      if (on) this.crossed.add(this.cards[i].row); else this.crossed.delete(this.cards[i].row);
      this.tiles.children[i].firstChild.setAttribute("aria-pressed", String(on));
    }
    this.at = place;
    this.tell();
  }

  walk(event) {
    const tile = event.target.closest(".tile");
    const columns = getComputedStyle(this.tiles).gridTemplateColumns.split(" ").length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (!tile || (!step && event.key !== "x" && event.key !== " ")) return;
    event.preventDefault();
    event.stopPropagation();
    const place = [...this.tiles.children].indexOf(tile.parentElement);
    if (!step) return this.cross(place, event.shiftKey);
    const next = this.tiles.children[place + step]?.firstChild;
    if (next) { tile.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  }

  act(name, event) {
    if (name === "undo") return this.undo();
    if (name === "find" || name === "new") return this.find.open();
    if (!isMeant(event, this.seen_since)) return this.early();
    const [kept, crossed] = [this.cards.filter((card) => !this.crossed.has(card.row)), this.cards.filter((card) => this.crossed.has(card.row))];
    if (name === "all") return this.all();
    if (name === "skip") { for (const card of crossed.length ? crossed : this.cards) this.later.add(card.row); return this.hold(() => {}); }
    if (name === "accept") return this.by_cluster ? undefined : this.say(kept, "label", this.group, crossed);
    if (name === "unknown" || name === "bad" || name === "keep") return this.say(this.by_cluster || !crossed.length ? kept : crossed, name, "", this.by_cluster ? crossed : []);
    if (name === "zoom") return undefined;
    return undefined;
  }

  all() {
    const on = this.crossed.size < this.cards.length;
    this.crossed = new Set(on ? this.cards.map((card) => card.row) : []);
    for (const tile of this.tiles.querySelectorAll(".tile")) tile.setAttribute("aria-pressed", String(on));
    this.tell();
  }

  // What is pressed before the pictures are painted is not meant for them.
  early() {
    toast("Not counted: the pictures were not there yet.");
  }

  name(option) {
    const crossed = this.cards.filter((card) => this.crossed.has(card.row));
    const kept = this.cards.filter((card) => !this.crossed.has(card.row));
    if (!isMeant(null, this.seen_since)) { this.early(); return; }
    if (this.by_cluster || !crossed.length) this.say(kept, "label", option.label, crossed, option.subclass);
    else this.say(crossed, "label", option.label, [], option.subclass);
  }

  say(cards, decision, label, later, subclass = "") {
    if (!cards.length) return undefined;
    for (const card of later) this.later.add(card.row);
    return this.hold(async () => {
      const rows = (card) => (card.members.some((member) => member.decided) ? open(card).map((member) => member.row) : []);
      const answers = cards.map((card) => ({ row: card.row, rows: rows(card), decision, label, subclass }));
      const seconds = Math.min(600, (performance.now() - this.since) / 1000);
      const told = await ask(queueAddress(this.about.name, "decide"), { by: this.by, version: this.version, answers, seconds, bulk: true });
      if (label) this.names.add(label);
      const late = told.late.length ? ` ${plural(told.late.length, "picture")} had been decided by somebody else.` : "";
      const changed = told.changed.length ? ` ${plural(told.changed.length, "file")} had been replaced since the queue was made: left out.` : "";
      for (const card of cards) if (card.members.some((member) => told.changed.includes(member.image))) this.later.add(card.row);
      toast(`${plural(told.decided, "picture")}: ${decision === "label" ? label : decision}.${late}${changed}`);
      this.hear(null, { said: label || decision });
    });
  }

  undo() {
    return this.hold(async () => {
      const told = await ask(queueAddress(this.about.name, "undo"), { by: this.by });
      toast(told.undone ? `Taken back: ${plural(told.undone, "picture")}.` : "There is nothing to take back.");
    });
  }

  async hold(work) {
    if (this.busy) return;
    this.busy = true;
    try {
      await work();
      await this.load();
    } catch (error) {
      this.hear(error);
    } finally {
      this.busy = false;
    }
  }
}
