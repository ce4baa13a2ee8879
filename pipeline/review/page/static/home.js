// What there is to do, and how it goes.

import { ask } from "./api.js";
import { banner, count, el, percent, plural, prose } from "./dom.js";

const CLASSES = 12; // of those that are short, shown

let served, gains, people;
const main = el("main", { class: "page", id: "home", "aria-busy": "true" });
document.body.append(main);

function queue(told) {
  const done = told.cards - told.left;
  if (told.problem) return el("li", {}, el("div", { class: "banner" }, el("b", {}, told.name), el("pre", {}, told.problem)));
  const expected = told.expected === null || !told.cards ? "" : `about ${count(Math.round(told.expected))} of the suggestions are right`;
  return el("li", { class: told.left ? "" : "done" }, el("a", { href: `/queue/${encodeURIComponent(told.name)}` },
    el("div", {}, el("h2", {}, told.name), el("p", { class: "note" }, prose(told.finds))),
    el("div", {},
      el("b", { class: "num" }, told.left ? count(told.left) : told.cards ? "all decided" : "nothing here"),
      told.left ? el("span", { class: "note" }, ` of ${count(told.cards)} to decide`) : "",
      told.cards ? el("progress", { max: told.cards, value: done, "aria-label": `${done} of ${told.cards} decided` }) : ""),
    el("p", { class: "note" }, expected),
    el("span", { class: "note", "aria-hidden": "true" }, "›")));
}

function person(told) {
  const wrong = told.error === null ? "not yet known" : `${percent(told.error, 1)} (${percent(told.low, 1)} to ${percent(told.high, 1)})`;
  const pace = told.minutes_per_label ? (60 * told.minutes_per_label).toFixed(1) : "–";
  const cells = [count(told.decisions), told.minutes === null ? "–" : told.minutes.toFixed(1), pace, `${told.differing} of ${told.checked}`, wrong, `${told.disputed} of ${told.shared}`];
  return el("tr", {}, el("th", { scope: "row" }, told.by), cells.map((text) => el("td", { class: "n" }, text)));
}

function short(told) {
  const chance = told.expected === null ? (told.known ? "none" : "not known to the model") : `${count(Math.round(told.expected))} (${count(Math.round(told.low))} to ${count(Math.round(told.high))})`;
  const queued = told.queued_expected === null ? "–" : `${count(Math.round(told.queued_expected))}${told.queued_low === null ? "" : ` (${count(told.queued_low)} to ${count(told.queued_high)})`}`;
  return el("tr", {}, el("th", { scope: "row" }, told.label), [count(told.short_by), chance, queued, count(told.queued)].map((text) => el("td", { class: "n" }, text)));
}

function table(title, heads, rows) {
  return [el("h2", { class: "part" }, title), el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, heads.map((text, place) => el("th", { class: place ? "n" : "", scope: "col" }, text)))), el("tbody", {}, rows)))];
}

async function show() {
  let told;
  try {
    told = await ask("/api/overview");
  } catch (error) {
    main.replaceChildren(el("h1", {}, "Review"), el("div", { id: "wrong" }));
    banner(document.getElementById("wrong"), error, { name: "Try again", act: show });
    return;
  }
  const left = told.queues.reduce((sum, one) => sum + (one.left || 0), 0);
  main.replaceChildren(
    el("h1", {}, "Review"),
    el("p", { class: "lead" }, prose(told.problem || (left ? `${plural(left, "decision")} worth a person’s time. Each is on disk before the next picture comes.` : "Nothing waits for a person: all is decided. Next: `wallaby apply`."))),
    el("ul", { class: "queues" }, told.queues.map(queue)),
    el("h2", { class: "part" }, "Try a picture"),
    el("p", { class: "note" }, el("a", { href: "/try" }, "Drop a picture"), " and see what the model makes of it."),
    (served = el("section")), (gains = el("section")), (people = el("section")));
  main.removeAttribute("aria-busy");
  const { waiting } = await ask("/api/audit").catch(() => ({ waiting: null }));
  if (waiting !== null) {
    const text = waiting ? `${plural(waiting, "served picture")}, drawn by chance, wait for a verdict.` : "All that was drawn is judged. `wallaby audit --draw NUMBER` draws more.";
    served.replaceChildren(el("h2", { class: "part" }, "The model that serves"), el("p", { class: "note" }, waiting ? el("a", { href: "/audit" }, text) : prose(text)));
  }
  const yields = (await ask("/api/yields").catch(() => [])).filter((one) => one.short_by > 0);
  if (yields.length) {
    const heads = ["Class", "images short", "expected in the pool (95 %)", "expected in the queue", "queued"];
    gains.replaceChildren(...table("What short classes may gain", heads, yields.slice(0, CLASSES).map(short)));
  }
  const reviewers = await ask("/api/reviewers").catch(() => []);
  if (!reviewers.length) return;
  const heads = ["Name", "decisions", "minutes", "seconds an image", "second readings that differ", "decisions wrong, by that", "others said otherwise"];
  people.replaceChildren(...table("Who has decided", heads, reviewers.map(person)));
}

show();
