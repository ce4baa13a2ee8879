// What the page asks the server, and what it is refused.

export class Refusal extends Error {
  constructor({ error, where = "", mend = "", kind = "server" }) {
    super(where ? `${error} (${where})` : error);
    this.mend = mend;
    this.kind = kind;
    this.title = { stale: "A new round", taken: "Decided meanwhile", disk: "Not written", gone: "No answer" }[kind] || "Refused";
  }
}

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-wallaby": "1" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refusal({ error: "the server does not answer", mend: "start `wallaby review` again; what was decided is kept", kind: "gone" });
  }
  const text = await answer.text();
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Refusal({ error: `the server answered ${answer.status}`, kind: "server" });
  }
  if (!answer.ok) throw new Refusal(told.kind ? told : { error: told.detail?.[0]?.msg || `the server answered ${answer.status}` });
  return told;
}

export const queueAddress = (name, verb = "") => `/api/queue/${encodeURIComponent(name)}${verb && "/" + verb}`;
