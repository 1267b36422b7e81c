// What gates answer to a command, in their words: which gate, what became of it, and what to do.

import { el, listed, note, sentence } from "./dom.js";

const LOOKS = { done: "good", refused: "bad", failed: "ask" };

/** A note for each answer; gates that say the same have one together. `done` is what "done" means here, e.g. "suspended". */
export function answers(given, done) {
  const alike = new Map();
  for (const one of given) {
    const words = sentence(one.status === "done" ? done : one.words || one.reason || one.status);
    const next = one.status === "done" ? "" : sentence(one.next);
    const key = JSON.stringify([one.status, words, next, one.detail]);
    if (!alike.has(key)) alike.set(key, { ...one, words, next, gates: [] });
    alike.get(key).gates.push(one.gate);
  }
  return el(
    "div",
    { class: "answers" },
    ...[...alike.values()].map((one) => note(LOOKS[one.status] ?? "ask", [el("b", {}, `${listed(one.gates)}: `), one.words], [one.next, one.detail && el("small", {}, sentence(one.detail))].filter(Boolean))),
  );
}

export const all = (given, status) => given.length > 0 && given.every((one) => one.status === status);
export const gatesWith = (given, status) => given.filter((one) => one.status === status).map((one) => one.gate);
