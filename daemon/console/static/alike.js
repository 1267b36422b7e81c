// Two people who look alike to the gate, side by side, and what can be done about it.

import { may } from "./api.js";
import { el, icon, mark } from "./dom.js";
import { named } from "./names.js";

const TWINS = ["duplicate_of", "lookalike"];

/** The answer about somebody else who looks like this, if there is one. */
export const twin = (answers) => answers.find((one) => TWINS.includes(one.reason) && one.other);
/** Whether the pictures do not look like who is enrolled under this number. */
export const isStranger = (answers) => answers.some((one) => one.reason === "inconsistent");

/** Both people and the choices. `does` has stop(), same(number) and force(). */
export function pair(answer, { number, name, url }, does) {
  const { other } = answer;
  const head =
    answer.reason === "duplicate_of"
      ? `This face is already enrolled as ${other.person}`
      : `The gate could take this face for ${other.person}`;
  return el(
    "div",
    { class: "alike", role: "group", "aria-label": head },
    el("h3", {}, head),
    el(
      "div",
      { class: "pair" },
      side("You enrol", number, name, url ? el("img", { src: url, alt: "" }) : mark(name, number, "face-mark big")),
      el("span", { "aria-hidden": "true" }, "≈"),
      known(other),
    ),
    el(
      "div",
      { class: "choices" },
      choice("cross", "Stop: do not enrol", "The photos go, nothing was changed.", does.stop),
      choice("people", `It is the same person: add to ${other.person}`, "The photos become part of that record, and no second one is made.", () => does.same(other.person)),
      may("admin") ? choice("warn", "They are two people: enrol anyway", "The gate may confuse them. The audit keeps that you forced it.", does.force) : el("p", { class: "hint" }, "If they are two people, somebody with the role admin can enrol them anyway."),
    ),
  );
}

/** Photos that do not look like the person under this number. */
export function stranger(number, does) {
  const head = `These photos do not look like who is enrolled as ${number}`;
  return el(
    "div",
    { class: "alike", role: "group", "aria-label": head },
    el("h3", {}, head),
    el(
      "div",
      { class: "choices" },
      choice("cross", "Stop: do not enrol", "The photos go, nothing was changed.", does.stop),
      may("admin") ? choice("warn", "Replace the earlier pictures", `All templates of ${number} go, and these photos take their place.`, does.replace) : el("p", { class: "hint" }, "If the face has changed, somebody with the role admin can replace the pictures."),
    ),
  );
}

/** Who is enrolled already. The gate says only the number; the name comes from the record. */
function known(other) {
  const shown = (name) => side("It looks like", other.person, name, mark(name, other.person, "face-mark big"));
  const made = shown(other.name);
  if (!other.name) named(other.person, (name) => name && made.replaceWith(shown(name)));
  return made;
}

const side = (title, number, name, face) => el("div", {}, el("span", { class: "label" }, title), face, el("b", {}, name || "No name"), el("span", { class: "muted number" }, number));

const choice = (sign, words, more, does) => el("button", { type: "button", on: { click: does } }, icon(sign), el("span", {}, words, el("small", {}, more)));
