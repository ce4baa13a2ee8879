// Elements without HTML in strings: a name or label is only ever text. Children may be lists, of lists too.

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Text in which `commands` stand between backticks.
export const prose = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
export const percent = (share, digits = 0) => (share === null || share === undefined ? "–" : (100 * share).toFixed(digits) + " %");
export const count = (number) => number.toLocaleString("en");
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

// A picture in a box of its own size: nothing moves when it arrives, and a missing one says why.
export function picture(shown, side, { tiny = false, lazy = false, alt = shown.image } = {}) {
  const address = `${shown.picture}&side=${side}`;
  const image = el("img", { alt, decoding: "async", loading: lazy ? "lazy" : "eager", src: address, draggable: "false" });
  const box = el("span", { class: tiny ? "pic tiny" : "pic" }, image);
  image.addEventListener("error", async () => {
    const reason = await fetch(address).then((answer) => (answer.ok ? "" : answer.text()), () => "The server does not answer.");
    const text = reason || "The picture cannot be shown.";
    image.replaceWith(el("span", { class: "gone", role: "img", "aria-label": `${alt}: ${text}`, title: text }, text));
  });
  return box;
}

// Resolves once these pictures are decoded, or cannot be, and the browser has painted them; gives the time of that.
export async function painted(images) {
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
  await new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); });
  return performance.now();
}

// A key or button that was pressed before the picture was painted was not meant for it.
export const isMeant = (event, since) => since !== null && (!event || !event.timeStamp || event.timeStamp >= since);

let fading = 0;
export function toast(text) {
  let box = document.querySelector(".toast");
  if (!box) document.body.append((box = el("div", { class: "toast", role: "status" })));
  box.textContent = text;
  box.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { box.hidden = true; }, 3200);
}

export function banner(place, error, retry) {
  const mend = error.mend ? ` Hint: ${error.mend}.` : "";
  const box = el("div", { class: "banner", role: "alert" }, el("b", {}, error.title || "Not written"), el("pre", {}, prose(`${error.message}.${mend}`)));
  if (retry) box.append(el("button", { onclick: retry.act }, retry.name));
  place.replaceChildren(box);
}
