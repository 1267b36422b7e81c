// Gates as cards, each with its state, what is wrong, what to do, and its last decision.

import { $, chip, el, icon, note, plain, sentence } from "./dom.js";
import { named } from "./names.js";
import { since } from "./times.js";
import { CAMERAS, STATES, VERDICTS, known } from "./words.js";

const entries = new Map(); // gate -> entry of the API
const last = new Map(); // gate -> its newest decision

export const stateOf = (entry) => known(STATES, entry.stale ? "stale" : entry.status.state);

/** What is wrong at a gate, and what to do, as notes. */
export const advice = (entry) =>
  (entry.advice ?? []).map((one) => note(entry.status.state === "closed" || entry.status.state === "offline" ? "bad" : "ask", sentence(one.line), one.next ? sentence(one.next) : null));

function decision(gate) {
  const one = last.get(gate);
  if (!one) return el("p", { class: "last muted" }, "No decision yet");
  const verdict = known(VERDICTS, one.decision);
  const who = el("span", {}, one.name || one.person || verdict.words);
  if (one.person && !one.name) named(one.person, (name) => name && (who.textContent = plain(name)));
  return el(
    "p",
    { class: "last" },
    el("span", { class: `sign tiny ${verdict.look}`, title: verdict.words }, icon(verdict.sign)),
    el("span", {}, el("span", { class: "visually-hidden" }, `Last: ${verdict.words}. `), who),
    since(one.captured_at),
  );
}

function card(entry) {
  const { gate, status } = entry;
  const state = stateOf(entry);
  return el(
    "li",
    { class: "card gate", "data-gate": gate },
    el("header", {}, el("h3", {}, gate), chip(state.look, state.sign, state.words)),
    el(
      "p",
      { class: "line" },
      status.camera ? el("span", {}, icon("camera"), CAMERAS[status.camera] ?? status.camera) : null,
      status.online ? el("span", {}, icon("people"), `${status.people} enrolled`) : null,
      status.at ? el("span", {}, icon("clock"), "heard ", since(status.at)) : null,
    ),
    ...advice(entry),
    decision(gate),
  );
}

function draw() {
  const all = [...entries.values()].sort((a, b) => a.gate.localeCompare(b.gate));
  $("gates").replaceChildren(...(all.length ? all.map(card) : [el("li", {}, note("", "No gate has said anything yet.", "Check that a gate of this site runs and reaches the broker."))]));
  $("gates").removeAttribute("aria-busy");
}

export const gates = {
  /** Show these entries of the API beside those that are known. */
  show(more) {
    for (const entry of more) entry.status ? entries.set(entry.gate, entry) : entries.delete(entry.gate);
    draw();
  },
  /** Remember a decision as the last one of its gate. */
  decided(one) {
    if ((last.get(one.gate)?.sequence ?? -1) > one.sequence) return;
    last.set(one.gate, one);
    const place = document.querySelector(`[data-gate="${CSS.escape(one.gate)}"] .last`);
    place?.replaceWith(decision(one.gate));
  },
};

/** Offer the gates in a <select> whose first option stays. */
export function offer(select, names = [...entries.keys()]) {
  const chosen = select.value;
  const found = [...new Set(chosen ? [...names, chosen] : names)].sort();
  select.replaceChildren(select.options[0], ...found.map((name) => el("option", { value: name }, name)));
  select.value = chosen;
}
