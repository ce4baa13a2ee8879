// The page of one queue: its modes, filters, keys and help.

import { ask, queueAddress } from "./api.js";
import { banner, count, el, percent, prose } from "./dom.js";
import { Names } from "./finder.js";
import { Single } from "./single.js";
import { Grid } from "./grid.js";
import { Pair } from "./pair.js";
import * as who from "./who.js";
import { whenLeft } from "./tab.js";

const name = decodeURIComponent(location.pathname.split("/").pop());
const app = el("div", { class: "app", id: "app" });
document.body.append(app);
const KEYS = { Enter: "accept", u: "unknown", b: "bad", k: "keep", s: "skip", ArrowRight: "skip", z: "undo", Backspace: "undo", n: "new", "/": "find", f: "find", " ": "zoom", a: "all", x: "frame", p: "last" };
const HELP = [
  ["⏎", "accept what is suggested"], ["1 – 6", "one of the model’s best classes"], ["/", "type to find a class; ↑ ↓ ⏎"], ["N", "a new class: type its name"],
  ["U", "unknown: a good picture, of what?"], ["B", "bad: not worth keeping"], ["K", "keep: the label stays as it is"], ["S or →", "skip for now"],
  ["X", "a burst: to its frames, ← →; X leaves one out, or takes it back"], ["Z", "undo, as often as you like"], ["P", "the last decision again, to take back one frame of it"], ["space", "magnify, and back"], ["G", "one by one, or many at once"], ["?", "this help"],
];
const MODES = { single: "One by one", grid: "Many at once", clusters: "Look-alikes", pair: "Side by side" };

let about, names, mode, view, by;
const parts = {};

function hear(error, told = {}) {
  if (error) {
    const stale = error.kind === "stale";
    banner(parts.trouble, error, stale ? { name: "Load the new queue", act: () => location.reload() } : null);
    return;
  }
  parts.trouble.replaceChildren();
  if (told.left !== undefined) {
    parts.left.textContent = `${count(told.left)} to go`;
    parts.progress.max = Math.max(1, told.total);
    parts.progress.value = told.total - told.left;
  }
  if (told.said) parts.said.textContent = told.said;
}

function frame() {
  const modes = about.kind === "pair" ? ["pair"] : ["single", "grid", ...(about.clusters.length ? ["clusters"] : [])];
  parts.tabs = el("div", { class: "tabs", role: "group", "aria-label": "Mode" }, modes.map((one) => el("button", { "data-mode": one, "aria-pressed": "false", onclick: () => go(one) }, MODES[one])));
  parts.left = el("span", { class: "note num", id: "left" });
  parts.progress = el("progress", { max: 1, value: 0, "aria-label": "decided" });
  parts.said = el("span", { class: "sr", role: "status" });
  parts.trouble = el("div");
  parts.stage = el("main", { class: "stage" });
  parts.filters = filters();
  parts.promise = el("span", { class: "note promise" });
  app.replaceChildren(
    el("header", { class: "bar" }, el("a", { class: "home", href: "/", "aria-label": "All queues" }, "‹ Review"), el("h1", {}, name), modes.length > 1 ? parts.tabs : "", about.purge ? parts.promise : "", el("span", { class: "gap" }),
      parts.progress, parts.left,
      about.kind === "pair" ? "" : el("button", { class: "plain", "aria-expanded": "false", id: "filter", onclick: (event) => { parts.filters.hidden = !parts.filters.hidden; event.currentTarget.setAttribute("aria-expanded", String(!parts.filters.hidden)); } }, "Filter"),
      el("button", { class: "plain optional", title: "Another name", onclick: async () => { const was = by; by = await who.ask(); if (by !== was) location.reload(); } }, by),
      el("button", { class: "plain help", "aria-label": "Keys and help", onclick: help }, el("kbd", {}, "?"), el("span", {}, "Help"))),
    parts.filters, parts.trouble, parts.stage, parts.said);
}

function filters() {
  const field = (label, input) => el("label", {}, label, input);
  const chosen = el("select", { name: "label" }, el("option", { value: "" }, "any"), about.labels.map(([label, number]) => el("option", { value: label }, `${label} (${count(number)})`)));
  const order = el("select", { name: "order" }, about.orders.map((one) => el("option", {}, one)));
  const form = el("form", { class: "filters", hidden: true, role: "search", onsubmit: (event) => event.preventDefault() },
    field("Suggested", chosen), field("Score from", el("input", { name: "least", type: "number", min: 0, max: 100, step: 5, value: 0 })), field("to", el("input", { name: "most", type: "number", min: 0, max: 100, step: 5, value: 100 })), "%",
    field("Origin", el("select", { name: "origin" }, el("option", { value: "" }, "any"), about.origins.map((one) => el("option", {}, one)))),
    field("File changed from", el("input", { name: "since", type: "date" })), field("to", el("input", { name: "until", type: "date" })),
    field("Folder", el("input", { name: "folder", type: "text", placeholder: "pool/2026/", size: 12 })), field("Search", el("input", { name: "text", type: "search", placeholder: "file, class or reason" })), field("Order", order));
  let waiting = 0;
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => start(), 250); });
  form.addEventListener("keydown", (event) => event.stopPropagation());
  return form;
}

function filter() {
  const form = new FormData(parts.filters);
  const share = (key, otherwise) => { const value = parseFloat(form.get(key)); return Number.isNaN(value) ? otherwise : value / 100; };
  return { label: form.get("label") || "", least: share("least", 0), most: share("most", 1), folder: form.get("folder") || "", origin: form.get("origin") || "", since: form.get("since") || null, until: form.get("until") || null, text: form.get("text") || "", order: form.get("order") || "rank" };
}

async function start() {
  try {
    await view.open(filter());
    hear(null, {});
    await promise();
  } catch (error) {
    hear(error);
  }
}

async function promise() {
  if (!about.purge) return;
  const { purge } = await ask(queueAddress(name));
  parts.promise.textContent = purge.judged ? `${purge.good} of ${purge.judged} judged are good: at most ${percent(purge.bound, 1)} of all ${count(purge.listed)} are (95 % sure)` : `none of ${purge.sample} judged yet: nothing is promised`;
}

async function go(next) {
  mode = next;
  for (const button of parts.tabs.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  const told = { about, by, names, hear: (error, more) => { hear(error, more); if (more?.said) promise(); } };
  view = mode === "single" ? new Single(told) : mode === "pair" ? new Pair(told) : new Grid({ ...told, by_cluster: mode === "clusters" });
  parts.stage.replaceChildren(view.element);
  history.replaceState(null, "", mode === "single" || mode === "pair" ? location.pathname : `?mode=${mode}`);
  await start();
}

function help() {
  const dialog = el("dialog", { "aria-labelledby": "help" }, el("h2", { id: "help" }, "Keys"), el("p", { class: "note" }, prose(about.finds)), el("br"),
    el("dl", { class: "keys" }, HELP.map(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])),
    el("form", { method: "dialog" }, el("button", { class: "first" }, "Go on")));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "?") { event.preventDefault(); help(); return; }
  if (key === "g" && parts.tabs.children.length > 1) { const all = [...parts.tabs.children].map((one) => one.dataset.mode); go(all[(all.indexOf(mode) + 1) % all.length]); return; }
  const name = /^[1-9]$/.test(key) ? key : KEYS[key];
  if (!name || event.repeat) return;
  if ((key === "Enter" || key === " ") && event.target.closest("button:not([role=checkbox]), a") && !view.greedy) return;
  event.preventDefault();
  view.act(name, event);
});

async function main() {
  try {
    const [told, classes] = await Promise.all([ask(queueAddress(name)), ask("/api/classes")]);
    about = told;
    names = new Names(classes, about.words);
    document.title = `${name} – Wallaby`;
    const { by: proposed } = who.name() ? { by: "" } : await ask("/api/who");
    by = await who.known(proposed);
    frame();
    whenLeft(() => ({ address: queueAddress(name, "leave"), by }));
    const wanted = new URLSearchParams(location.search).get("mode");
    await go(about.kind === "pair" ? "pair" : wanted in MODES && wanted !== "pair" ? wanted : "single");
  } catch (error) {
    app.replaceChildren(el("div", { id: "wrong" }), el("div", { class: "empty" }, el("h2", {}, "This queue cannot be shown"), el("a", { href: "/" }, "All queues")));
    banner(document.getElementById("wrong"), error, { name: "Try again", act: () => location.reload() });
  }
}

main();
