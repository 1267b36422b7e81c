// Elements are only built here. Text becomes text nodes, so a name that looks like HTML is shown as it is.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** Others' text without signs that nobody sees: they could turn it round, so that it reads as something else. Joiners spell names. */
export const plain = (text) => (typeof text === "string" ? text.replace(/(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd") : text);

/** An element. `props` are attributes; `on` has listeners; null, undefined and false are left out. Children are nodes or text. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, does] of Object.entries(value)) made.addEventListener(event, does);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : name === "value" ? String(value) : plain(String(value)));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map(plain));
  return made;
}

/** A drawing of icons.html, for the eye only. */
export function icon(name, look = "icon") {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", look);
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  made.append(use);
  return made;
}

export const chip = (look, sign, words) => el("span", { class: `chip ${look}` }, icon(sign), words);

/** Text in which what stands between `backticks` is shown as code. Anything but a string stays as it is. */
const withCode = (words) => (typeof words === "string" ? words.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part)) : words);

/** A box with a sign, what is so, and what to do next. `look` is good, bad, ask or empty. */
export function note(look, words, next = null, more = null) {
  const sign = { good: "check", bad: "cross", ask: "warn" }[look] ?? "info";
  return el("div", { class: `note ${look}` }, icon(sign), el("div", {}, withCode(words), next?.length ? el("span", { class: "next" }, ...[next].flat().map(withCode).flat()) : null), more);
}

/** What an error says, as a note. */
export const trouble = (error) => note("bad", el("b", {}, sentence(error.message)), error.hint ? sentence(error.hint) : null);

export const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) + (/[.!?…]$/.test(words) ? "" : ".") : "");

/** Two letters for a round mark: of the name, else the end of the number. */
export function mark(name, person, look = "face-mark") {
  const parts = (name ?? "").match(/\p{L}[^\s]*/gu) ?? [];
  const first = (word) => [...word][0] ?? "";
  const letters = parts.length ? first(parts[0]) + (parts.length > 1 ? first(parts.at(-1)) : "") : (person ?? "?").slice(-2);
  return el("span", { class: look, "aria-hidden": "true" }, letters.toUpperCase());
}

/** Run `work` while the button shows that it is busy and cannot be pressed again. */
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** `does` once nothing has called it for `ms` milliseconds. */
export function settled(does, ms) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => does(...given), ms);
  };
}

/** a, b and c */
export const listed = (words) => new Intl.ListFormat("en-GB").format(words);
