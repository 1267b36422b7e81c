// The fields of a person's record (templates/fields.html): ticks for gates, filling them in, reading them.

import { el } from "./dom.js";
import { fromFields, toFields } from "./times.js";

const TEXTS = ["name", "schedule", "consent"];
const MOMENTS = ["valid_from", "valid_until"];

/** The gates and schedules that a record may name, by what the gates say of themselves (entries of /api/gates). */
export function choicesOf(entries) {
  const all = (name) => entries.flatMap((entry) => entry.status?.[name] ?? []);
  const sorted = (words) => [...new Set(words)].sort();
  return { gates: sorted([...entries.map((entry) => entry.gate), ...all("gates")]), schedules: sorted(all("schedules")) };
}

/** Offer gates and schedules; what is chosen stays, also what no gate names any more. */
export function offerChoices(form, choices) {
  offerGates(form, choices.gates, [...form.querySelectorAll("[name=gates]:checked")].map((tick) => tick.value));
  offerSchedules(form, choices.schedules, form.elements.schedule.value);
}

function offerSchedules(form, schedules, chosen) {
  const all = [...new Set([...schedules, ...(chosen ? [chosen] : [])])];
  form.elements.schedule.replaceChildren(el("option", { value: "" }, "At any time"), ...all.map((name) => el("option", { value: name }, name)));
  form.elements.schedule.value = chosen;
}

/** A tick for each gate; gates that only the record names get one too. */
function offerGates(form, gates, ticked = []) {
  const all = [...new Set([...gates, ...ticked])].sort();
  form.querySelector("[data-gates]").replaceChildren(
    ...all.map((gate) => el("label", { class: "tick" }, el("input", { type: "checkbox", name: "gates", value: gate, checked: ticked.includes(gate) }), gate)),
  );
}

/** Write a record into the fields. */
export function fill(form, record, choices) {
  offerSchedules(form, choices.schedules, record.schedule ?? "");
  for (const name of TEXTS) form.elements[name].value = record[name] ?? "";
  for (const name of MOMENTS) [form.elements[name].value, form.elements[`${name}_time`].value] = toFields(record[name], name === "valid_until");
  offerGates(form, choices.gates, record.gates ?? []);
}

/** What the fields say, null for what is empty. Raises an Error about fields that make no sense. */
export function read(form) {
  const said = {};
  for (const name of TEXTS) said[name] = form.elements[name].value.trim() || null;
  for (const name of MOMENTS) {
    const [date, time] = [form.elements[name], form.elements[`${name}_time`]];
    const bad = [date, time].find((field) => !field.validity.valid) ?? (time.value && !date.value ? date : null);
    if (bad) {
      bad.focus();
      throw Object.assign(new Error("this day or time cannot be read"), { hint: "give a day from 2000 to 2999; a time needs a day" });
    }
    said[name] = fromFields(date.value, time.value, name === "valid_until");
  }
  if (said.valid_from && said.valid_until && Date.parse(said.valid_until) <= Date.parse(said.valid_from)) {
    form.elements.valid_until.focus();
    throw Object.assign(new Error("the validity ends before it begins"), { hint: "give a later day for “valid until”" });
  }
  const ticked = [...form.querySelectorAll("[name=gates]:checked")].map((tick) => tick.value);
  said.gates = ticked.length ? ticked : null;
  return said;
}

/** The fields of `now` that differ from `before`: an update names only what changes. */
export function changes(before, now) {
  const same = (name) =>
    MOMENTS.includes(name) && before[name] && now[name] ? Date.parse(before[name]) === Date.parse(now[name]) : JSON.stringify(before[name] ?? null) === JSON.stringify(now[name]);
  return Object.fromEntries(Object.entries(now).filter(([name]) => !same(name)));
}
