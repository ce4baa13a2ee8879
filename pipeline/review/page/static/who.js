// Who decides: asked once, kept by the browser.

import { el } from "./dom.js";

const KEY = "wallaby.by";
export const name = () => localStorage.getItem(KEY) || "";

export function ask(proposed = "") {
  return new Promise((resolve) => {
    const input = el("input", { name: "by", required: true, maxlength: 60, autocomplete: "name", "aria-label": "Your name", value: name() || proposed, pattern: '[^,;"]+' });
    const form = el("form", { method: "dialog" }, input, el("button", { class: "first" }, "Go on"));
    const dialog = el("dialog", { "aria-labelledby": "who" }, el("h2", { id: "who" }, "Who decides?"), el("p", { class: "note" }, "Your name stands beside every decision."), form);
    dialog.addEventListener("cancel", (event) => { if (!name()) event.preventDefault(); });
    dialog.addEventListener("close", () => {
      const given = input.value.trim();
      if (given) localStorage.setItem(KEY, given);
      dialog.remove();
      resolve(name());
    });
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

export async function known(proposed) {
  if (!name() && proposed) localStorage.setItem(KEY, proposed);
  return name() || ask();
}
