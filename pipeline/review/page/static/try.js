// Drop a picture, and see what the model makes of it.

import { ask, Refusal } from "./api.js";
import { banner, el, percent, picture } from "./dom.js";

const main = el("main", { class: "page", id: "try" });
const trouble = el("div");
const shown = el("div", { class: "pic shown" }, el("span", { class: "gone" }, "Drop a picture here, paste one, or choose a file."));
const file = el("input", { type: "file", accept: "image/*", class: "sr", id: "file" });
const drop = el("label", { class: "drop", for: "file" }, shown);
const answer = el("section", { class: "answer", "aria-live": "polite" });
const alike = el("section", { class: "near wide" });
let address = "";
let latest = 0;

document.body.append(el("header", { class: "bar" }, el("a", { class: "home", href: "/" }, "‹ Review"), el("h1", {}, "Try a picture")), main);
main.replaceChildren(trouble, el("div", { class: "trying" }, el("div", {}, file, drop), answer), alike);

function waiting(text) {
  answer.replaceChildren(el("p", { class: "note" }, text));
  alike.replaceChildren();
}

// Says what the answer waits for, as long as the model is not there.
async function loading(turn) {
  const told = await ask("/api/model").catch(() => ({ waited: null }));
  const note = answer.querySelector(".note");
  if (turn !== latest || !note || answer.childElementCount > 1) return;
  note.textContent = told.waited === null || told.waited === undefined ? "The model looks at it."
    : `The answer waits for the model, which is being loaded: for ${Math.round(told.waited)} s by now, usually some ten seconds.`;
}

function which(told) {
  const what = told.released ? "the released model" : "the last round’s model; none is released yet";
  return el("p", { class: "note" }, `Round ${told.round}, model ${told.model.slice(0, 12)}: ${what}.`);
}

function tell(told) {
  const unsure = told.answer === "unknown";
  const [best] = told.top;
  const limit = told.threshold === null ? "No answer of this class is ever shown" : `Answers are shown from ${percent(told.threshold, 1)} on`;
  const verdict = unsure ? `It would be ${best.label}, at ${percent(best.score, 1)}. ${limit}.` : `At ${percent(best.score, 1)}. ${limit}.`;
  answer.replaceChildren(
    el("h2", { class: unsure ? "unsure" : "" }, told.answer),
    el("p", { title: told.rule }, verdict),
    el("ol", { class: "shares" }, told.top.map((one, place) => el("li", {}, el("span", { class: "name" }, one.label), el("span", { class: "meter", "aria-hidden": "true" },
      el("i", { "--share": `${100 * one.score}%` }), place || told.threshold === null ? "" : el("b", { "--at": `${100 * told.threshold}%` })), el("span", { class: "num" }, percent(one.score, 1))))),
    which(told.model));
  alike.replaceChildren();
  if (told.alike.length) {
    alike.append(el("h3", {}, "Pictures of the library that look like it to the model"),
      el("ul", {}, told.alike.map((one) => el("li", { title: one.image }, picture(one, 480, { alt: `${one.label}: ${one.image}` }), one.label))));
  }
}

async function name(given) {
  const turn = (latest += 1);
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(given);
  const image = el("img", { alt: given.name || "your picture", src: address });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "gone" }, given.name || "a file")));
  shown.replaceChildren(image);
  trouble.replaceChildren();
  waiting("The model looks at it. If it is not loaded yet, that comes first: usually some ten seconds.");
  const watch = setInterval(() => loading(turn), 1000);
  loading(turn);
  try {
    const form = new FormData();
    form.append("picture", given, given.name || "pasted");
    const reply = await fetch("/api/try", { method: "POST", headers: { "x-wallaby": "1" }, body: form }).catch(() => {
      throw new Refusal({ error: "the server does not answer", mend: "start `wallaby review` again", kind: "gone" });
    });
    const told = await reply.json().catch(() => ({ error: `the server answered ${reply.status}` }));
    if (turn !== latest) return;
    if (!reply.ok) throw new Refusal(told.error ? told : { error: `the server answered ${reply.status}` });
    tell(told);
  } catch (error) {
    if (turn !== latest) return;
    waiting("");
    banner(trouble, error);
  } finally {
    clearInterval(watch);
  }
}

file.addEventListener("change", () => { if (file.files[0]) name(file.files[0]); });
document.addEventListener("paste", (event) => { const [given] = event.clipboardData.files; if (given) name(given); });
for (const kind of ["dragover", "dragenter"]) document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [given] = event.dataTransfer.files;
  if (given) name(given);
});

ask("/api/model").then((told) => answer.replaceChildren(el("h2", {}, "What is it?"), el("p", {}, "The picture stays on this machine: it is looked at, and not kept."), which(told)), (error) => banner(trouble, error));
