// Type to find: a class among thousands, or a new one.

import { el } from "./dom.js";

const MOST = 8;
const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

export class Names {
  // `words` are those of a decision: none can name a class.
  constructor(classes, words = []) {
    this.all = [];
    this.words = new Set(words);
    for (const one of classes) {
      this.all.push({ label: one.name, shown: one.name, key: fold(one.name), standing: one });
      for (const below of one.subclasses) {
        this.all.push({ label: one.name, subclass: below, shown: `${below} (${one.name})`, key: fold(`${below} ${one.name}`), standing: one });
      }
    }
    this.known = new Map(classes.map((one) => [one.name.toLowerCase(), one.name]));
  }

  add(label) {
    if (this.known.has(label.toLowerCase())) return;
    this.known.set(label.toLowerCase(), label);
    this.all.push({ label, shown: label, key: fold(label), standing: {} });
  }

  // The best first: the whole name, its beginning, the beginning of a word, anywhere, letters in order.
  find(typed, most = MOST) {
    const wanted = fold(typed.trim());
    if (!wanted) return [];
    const ranked = [];
    for (const one of this.all) {
      const place = one.key.indexOf(wanted);
      let rank = 5;
      if (one.key === wanted) rank = 0;
      else if (place === 0) rank = 1;
      else if (place > 0) rank = /[\p{L}\p{N}]/u.test(one.key[place - 1]) ? 3 : 2;
      else if (inOrder(wanted, one.key)) rank = 4;
      if (rank < 5) ranked.push([rank, one.key.length, one]);
    }
    ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1] || (a[2].shown < b[2].shown ? -1 : 1));
    return ranked.slice(0, most).map((row) => row[2]);
  }
}

function inOrder(letters, key) {
  if (letters.length < 3) return false;
  let place = -1;
  for (const letter of letters) {
    place = key.indexOf(letter, place + 1);
    if (place < 0) return false;
  }
  return true;
}

let number = 0;

// An input with what is found below it; `chosen` gets { label, subclass, isNew }.
export function finder(names, chosen, { placeholder = "Type a class" } = {}) {
  const id = `found-${(number += 1)}`;
  const list = el("ul", { class: "found", id, role: "listbox", hidden: true });
  const input = el("input", {
    type: "text", placeholder, "aria-label": placeholder, role: "combobox", "aria-expanded": "false", "aria-controls": id,
    "aria-autocomplete": "list", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: 200,
  });
  const box = el("div", { class: "find" }, input, el("kbd", { "aria-hidden": "true" }, "/"), list);
  let options = [];
  let at = 0;

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
  };
  const mark = () => {
    [...list.children].forEach((row, place) => row.setAttribute("aria-selected", String(place === at)));
    list.children[at]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", list.children[at] ? list.children[at].id : "");
  };
  const take = (place) => {
    const option = options[place];
    if (!option) return;
    input.value = "";
    close();
    input.blur();
    chosen(option);
  };
  const refresh = () => {
    const typed = input.value.trim().replace(/\s+/g, " ");
    options = names.find(typed);
    const isWord = names.words.has(typed.toLowerCase());
    const isNew = typed && !isWord && !names.known.has(typed.toLowerCase());
    if (isNew) options.push({ label: typed, shown: typed, isNew: true });
    list.replaceChildren(...options.map((option, place) => el("li", { role: "option", id: `${id}-${place}`, onmousedown: (event) => { event.preventDefault(); take(place); } },
      el("span", {}, option.isNew ? `New class “${option.shown}”` : option.shown),
      el("small", {}, option.isNew ? "" : standing(option.standing)))));
    if (isWord) list.append(el("li", { class: "note" }, `“${typed}” is a word of the reviews, never a class`));
    at = 0;
    list.hidden = !options.length && !isWord;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark();
  };
  input.addEventListener("input", refresh);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { take(at); event.preventDefault(); }
    else if (event.key === "ArrowDown") { at = Math.min(at + 1, options.length - 1); mark(); event.preventDefault(); }
    else if (event.key === "ArrowUp") { at = Math.max(at - 1, 0); mark(); event.preventDefault(); }
    else if (event.key === "Escape") { input.value = ""; close(); input.blur(); event.preventDefault(); }
    event.stopPropagation();
  });
  box.open = () => { input.focus(); input.select(); };
  return box;
}

export function standing(told) {
  if (!told || told.cutoff === undefined) return "new";
  const groups = told.short_by > 0 ? `${told.groups} of ${told.cutoff}` : `${told.groups}`;
  return `${groups} ${told.groups === 1 && !(told.short_by > 0) ? "group" : "groups"}`;
}
