// Served pictures that were drawn by chance: was the answer right?

import { ask } from "./api.js";
import { banner, el, isMeant, painted, percent, picture, plural, prose } from "./dom.js";
import { Names, finder } from "./finder.js";
import * as who from "./who.js";

const AHEAD = 6;
const main = el("main", { class: "page", id: "audit" });
const trouble = el("div");
const stage = el("div", { class: "trying" });
const left = el("span", { class: "note", "aria-live": "polite" });
const names = new Names([]);
let by = "";
let waiting = 0;
let cards = [];
let past = [];
let busy = false;
let turn = 0;
let seenSince = null; // when the picture was painted: what was pressed before is not meant for it
let box = null;
let asking = "wrong"; // what a class that is typed would be: of the model's, or none of them

document.body.append(el("header", { class: "bar" }, el("a", { class: "home", href: "/" }, "‹ Review"), el("h1", {}, "Audit"), left), main);
main.append(trouble, stage);

const key = ({ request, position }) => ({ request, position });

async function fill() {
  const told = await ask("/api/audit/deal", { number: AHEAD, have: cards.map(key) });
  waiting = told.left;
  cards.push(...told.cards);
  for (const card of told.cards) new Image().src = `${card.picture}&side=1024`;
}

async function say(verdict, truth = "") {
  const card = cards[0];
  if (!card || busy) return;
  busy = true;
  try {
    await ask("/api/audit/say", { by, ...key(card), verdict, truth });
    trouble.replaceChildren();
    past.push(cards.shift());
    waiting = Math.max(0, waiting - 1);
    if (cards.length < AHEAD / 2) await fill();
    show();
  } catch (error) {
    banner(trouble, error);
  } finally {
    busy = false;
  }
}

function back() {
  if (busy || !past.length) return;
  cards.unshift(past.pop());
  waiting += 1;
  show();
}

function skip() {
  if (busy || cards.length < 2) return;
  cards.push(cards.shift());
  show();
}

const known = (label) => names.all.some((one) => one.label === label);

function name(kind) {
  asking = kind;
  const input = box.querySelector("input");
  input.placeholder = kind === "wrong" ? "Which of the model’s classes is it?" : "What is it? Leave it empty if you do not know";
  input.focus();
}

function button(text, letter, act, first = false) {
  return el("button", { class: first ? "first" : "", onclick: (event) => { if (!cards[0] || isMeant(event, seenSince)) act(); } }, text, " ", el("kbd", { "aria-hidden": "true" }, letter));
}

function show() {
  left.textContent = `${plural(waiting, "picture")} left`;
  const card = cards[0];
  if (!card) {
    delete stage.dataset.shown;
    const [title, text] = past.length ? ["All judged", "Next: `wallaby report`. `wallaby audit --draw NUMBER` draws from what has been served since."]
      : ["Nothing waits for a verdict", "`wallaby audit --draw NUMBER` draws from what has been served since the last draw."];
    stage.replaceChildren(el("section", { class: "answer" }, el("h2", {}, title), el("p", {}, prose(text)), past.length ? button("Back", "⌫", back) : ""));
    return;
  }
  box = finder(names, (chosen) => say(known(chosen.label) ? "wrong" : "not-in-classes", chosen.label), { placeholder: "Type what it is" });
  box.querySelector("input").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.target.value.trim()) { event.preventDefault(); say(asking); }
  });
  const others = card.top.filter((one) => one.label !== card.label).slice(0, 4);
  const mine = (turn += 1);
  seenSince = null;
  stage.replaceChildren(
    picture(card, 1024, { alt: "the served picture" }),
    el("section", { class: "answer" },
      el("h2", { class: card.shown ? "" : "unsure" }, card.label),
      el("p", {}, `${card.version} said so at ${percent(card.score, 1)}. The answer was ${card.shown ? "shown" : "withheld"}.`),
      el("div", { class: "row" }, button("Right", "↵", () => say("right"), true), button("Wrong", "w", () => name("wrong")),
        button("Not in its classes", "n", () => name("not-in-classes")), button("Unusable", "u", () => say("unusable"))),
      others.length ? el("div", { class: "row" }, el("span", { class: "note" }, "It is"), others.map((one, place) => button(one.label, String(place + 1), () => say("wrong", one.label)))) : "",
      box,
      el("p", { class: "note" }, "An empty name records the verdict alone."),
      el("div", { class: "row" }, button("Later", "s", skip), button("Back", "⌫", back))));
  painted([...stage.querySelectorAll(".pic img")]).then((now) => {
    if (mine !== turn) return;
    seenSince = now;
    stage.dataset.shown = `${card.request}:${card.position}`;
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, dialog")) return;
  const others = cards[0] ? cards[0].top.filter((one) => one.label !== cards[0].label).slice(0, 4) : [];
  if (!cards[0] && event.key !== "Backspace") return;
  const acts = { Enter: () => say("right"), r: () => say("right"), w: () => name("wrong"), n: () => name("not-in-classes"), u: () => say("unusable"), s: skip, Backspace: back, "/": () => box.querySelector("input").focus() };
  others.forEach((one, place) => { acts[place + 1] = () => say("wrong", one.label); });
  if (!acts[event.key] || (event.key === "Enter" && event.target.closest("button, a"))) return;
  event.preventDefault();
  if (cards[0] && !isMeant(event, seenSince)) return;
  acts[event.key]();
});

async function start() {
  try {
    by = await who.known((await ask("/api/who")).by);
    for (const label of await ask("/api/audit/classes")) names.add(label);
    await fill();
    show();
  } catch (error) {
    banner(trouble, error, { name: "Try again", act: start });
  }
}

start();
