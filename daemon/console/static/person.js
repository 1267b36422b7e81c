// One person's sheet: the record at each gate, and what can be done to it.

import { answers } from "./answers.js";
import { api, may, person } from "./api.js";
import { $, busy, chip, el, icon, listed, mark, note, trouble } from "./dom.js";
import { changes, choicesOf, fill, read } from "./record.js";
import { revoke } from "./revoke.js";
import { day, validity } from "./times.js";
import { standing } from "./words.js";

const said = el("div", { class: "said", "aria-live": "polite" });
const place = el("div", {});
const sheet = el("dialog", { class: "sheet", "aria-labelledby": "sheet-title" }, place);
document.body.append(sheet);
sheet.addEventListener("click", (event) => event.target === sheet && sheet.close()); // beside the sheet
sheet.addEventListener("close", () => {
  const row = document.querySelector(`[data-person="${CSS.escape(shown ?? "")}"] button`);
  shown = null;
  row?.focus(); // the row may have been drawn anew since
});
let shown = null;
let isEdited = false;

/** Open the sheet of the person with this number. */
export async function open(number) {
  shown = number;
  said.replaceChildren();
  isEdited = false;
  put(top({ person: number }), el("p", { class: "muted" }, "Asking the gates…"));
  if (!sheet.open) sheet.showModal();
  await load(number);
}

/** Somebody changed this person: show it, unless it is being edited here. */
export function refresh(number) {
  if (number === shown && !isEdited) load(number);
}

/** Put this into the sheet. Whatever had the focus keeps it, by its words, although it is drawn anew. */
function put(...made) {
  const label = (one) => one.getAttribute("aria-label") ?? one.textContent;
  const focused = sheet.contains(document.activeElement) ? label(document.activeElement) : null;
  place.replaceChildren(...made);
  const all = [...place.querySelectorAll("button, a")];
  if (focused !== null) (all.find((one) => label(one) === focused) ?? all[0])?.focus();
}

async function load(number) {
  try {
    const record = await api("GET", person(number));
    if (number === shown) draw(record);
  } catch (error) {
    if (number !== shown) return;
    put(top({ person: number }), said, error.status === 404 ? note("", "No gate knows this number.", "It may have been revoked.") : trouble(error));
  }
}

const top = (record, state = null) =>
  el(
    "div",
    { class: "top" },
    mark(record.name, record.person, "face-mark big"),
    el("div", {}, el("h2", { id: "sheet-title" }, record.name || record.person), el("p", { class: "muted number" }, record.name ? record.person : ""), state && chip(state.look, state.sign, state.words)),
    el("button", { type: "button", class: "quiet square", "aria-label": "Close", on: { click: () => sheet.close() } }, icon("cross")),
  );

function draw(record) {
  const fact = (name, value, isWide) => el("div", { class: isWide ? "wide" : null }, el("dt", {}, name), el("dd", {}, value));
  put(
    top(record, standing(record)),
    said,
    record.differs ? note("ask", "The gates do not say the same about this person.", "See below what each has; save the record once more to make them agree.") : "",
    el(
      "dl",
      { class: "facts" },
      fact("May pass", validity(record.valid_from, record.valid_until)),
      fact("Schedule", record.schedule ?? "any time"),
      fact("Gates", record.gates ? listed(record.gates) : "all, also those to come"),
      fact("Enrolled", day(record.enrolled_at)),
      fact("Consent", record.consent ?? "not written down", true),
    ),
    record.silent?.length ? note("ask", `${listed(record.silent)} did not answer.`, "What is shown here is what the other gates say.") : "",
    el("h3", {}, "At the gates"),
    records(record),
    actions(record),
  );
}

function records(record) {
  const rows = Object.entries(record.records ?? {}).sort(([a], [b]) => a.localeCompare(b));
  if (!rows.length) return el("p", { class: "muted" }, `Known at ${listed(record.at ?? [])}.`);
  return el(
    "ul",
    { class: "at" },
    rows.map(([gate, one]) => {
      const state = standing(one);
      const pictures = `${one.templates} ${one.templates === 1 ? "picture" : "pictures"}`;
      return el("li", {}, el("b", {}, gate), chip(state.look, state.sign, state.words), el("span", { class: "muted" }, `${pictures}, ${validity(one.valid_from, one.valid_until)}`));
    }),
  );
}

function actions(record) {
  const button = (look, words, does) => el("button", { type: "button", class: look, on: { click: (event) => does(event.currentTarget) } }, words);
  return el(
    "div",
    { class: "buttons" },
    may("desk") && button("primary", "Edit", () => edit(record)),
    may("desk") && el("a", { class: "button", href: `/enrol?person=${encodeURIComponent(record.person)}` }, "Add photos"),
    record.state !== "suspended" && button("", "Suspend", (pressed) => change(pressed, record, "POST", "/suspend", "suspended: rejected from now on")),
    record.state === "suspended" && may("desk") && button("", "Resume", (pressed) => change(pressed, record, "POST", "/resume", "resumed: may pass again")),
    may("desk") && button("danger", "Revoke…", () => revoke(record, (given) => tell(given, "revoked: templates and pictures are erased", record.person))),
  );
}

/** Ask the gates for a change, and show what each answers. Returns whether they answered at all. */
async function change(pressed, record, method, path, done, body = undefined) {
  return busy(pressed, async () => {
    try {
      const given = await api(method, person(record.person) + path, body);
      await tell(given.answers, done, record.person);
      return true;
    } catch (error) {
      said.replaceChildren(trouble(error), ...(error.content?.answers?.length ? [answers(error.content.answers, done)] : []));
      return false;
    }
  });
}

async function tell(given, done, number) {
  said.replaceChildren(answers(given, done));
  isEdited = false;
  await load(number);
}

async function edit(record) {
  const form = $("edit").content.cloneNode(true).querySelector("form");
  const { gates } = await api("GET", "/gates").catch(() => ({ gates: [] }));
  fill(form, record, choicesOf(gates));
  isEdited = true;
  said.replaceChildren();
  const back = () => {
    isEdited = false;
    draw(record);
    sheet.querySelector(".buttons button")?.focus();
  };
  form.querySelector("[data-cancel]").addEventListener("click", back);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const changed = changes(record, read(form));
      if (!Object.keys(changed).length) return back();
      await change(form.querySelector(".primary"), record, "PATCH", "", "saved", changed);
    } catch (error) {
      said.replaceChildren(trouble(error));
    }
  });
  place.replaceChildren(top(record), said, form);
  form.elements.name.focus();
}
