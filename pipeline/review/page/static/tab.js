// Which tab this is: two tabs of one person hold different cards. A tab that is loaded again is the same one, and a copy
// of a tab is another: the name lies in the session's store only between two pages.

const KEY = "wallaby.tab";
const random = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export const tab = sessionStorage.getItem(KEY) || random();
sessionStorage.removeItem(KEY);

// `leave` gets the address and the person whose cards are free now.
export function whenLeft(leave) {
  addEventListener("pagehide", () => {
    sessionStorage.setItem(KEY, tab);
    const { address, by } = leave();
    fetch(address, { method: "POST", keepalive: true, headers: { "content-type": "application/json", "x-wallaby": "1" }, body: JSON.stringify({ by, tab }) }).catch(() => {});
  });
  addEventListener("pageshow", () => sessionStorage.removeItem(KEY));
}
