// Everybody whom the gates know: searched, page by page, and each with a sheet of their own.

import { api } from "./api.js";
import { $, chip, el, listed, mark, note, settled } from "./dom.js";
import { listen } from "./events.js";
import { offer } from "./gates.js";
import { open, refresh } from "./person.js";
import { complain, tell } from "./shell.js";
import { day, validity } from "./times.js";
import { standing } from "./words.js";

const PAGE = 50;

const form = $("filter");
const body = $("people").tBodies[0];
let people = [];
let gates = []; // that are online
let nextAfter = null;
let asking = null;

/** Whether a gate where this person may pass does not know them. */
const unknownAt = (one) => one.at?.length && (one.gates ?? gates).some((gate) => gates.includes(gate) && !one.at.includes(gate));

function row(one) {
  const state = standing(one);
  const cell = (name, ...content) => el("td", { "data-name": name }, el("span", {}, ...content));
  return el(
    "tr",
    { "data-person": one.person },
    el(
      "td",
      {},
      el(
        "span",
        { class: "person" },
        mark(one.name, one.person),
        el("span", {}, el("button", { type: "button", "aria-haspopup": "dialog", on: { click: () => open(one.person) } }, one.name || one.person), one.name ? el("small", {}, one.person) : null),
      ),
    ),
    cell("State", chip(state.look, state.sign, state.words), one.differs ? [" ", chip("ask", "warn", "Gates differ")] : null),
    cell("May pass", validity(one.valid_from, one.valid_until)),
    cell("Schedule", one.schedule ?? "any time"),
    cell("Gates", one.gates ? listed(one.gates) : "all", unknownAt(one) && el("small", {}, `known at ${listed(one.at)} only`)),
    cell("Enrolled", day(one.enrolled_at)),
  );
}

function draw() {
  const focused = document.activeElement?.closest("tr")?.dataset.person;
  body.replaceChildren(...people.map(row));
  if (focused) body.querySelector(`[data-person="${CSS.escape(focused)}"] button`)?.focus();
  const isSearch = form.search.value.trim() || form.gate.value;
  $("people").hidden = !people.length;
  $("nothing").hidden = people.length > 0;
  $("nothing").querySelector("span").textContent = isSearch ? "Nobody fits this search." : "Nobody is enrolled yet. Enrol the first person, and the gates know them at once.";
  $("more").hidden = !nextAfter;
  $("count").textContent = people.length ? `${people.length} ${people.length === 1 ? "person" : "people"}${nextAfter ? " so far" : ""}` : "";
}

/** Ask for the list from the beginning, as long as what is shown, or for what comes next. */
async function load(isMore = false) {
  asking?.abort();
  const mine = (asking = new AbortController());
  const wanted = new URLSearchParams({ limit: isMore ? PAGE : Math.max(PAGE, people.length) });
  if (form.search.value.trim()) wanted.set("search", form.search.value.trim());
  if (form.gate.value) wanted.set("gate", form.gate.value);
  if (isMore && nextAfter) wanted.set("after", nextAfter);
  try {
    const page = await api("GET", `/people?${wanted}`, undefined, mine.signal);
    people = isMore ? [...people, ...page.people] : page.people;
    nextAfter = page.next_after;
    complain(null);
    tell("silent", page.silent.length ? note("ask", `${listed(page.silent)} did not answer, so somebody may be missing here.`, "Look at the health page.") : null);
    draw();
  } catch (error) {
    if (error.name !== "AbortError" && !people.length) $("count").textContent = "";
    complain(error);
  }
}

const loadSoon = settled(() => load(), 300);
const anew = settled(() => {
  people = [];
  load();
}, 250);

form.addEventListener("input", anew);
form.addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", async () => {
  const at = people.length;
  await load(true);
  body.querySelectorAll("button")[at]?.focus();
});
listen({
  hello: async () => {
    const state = await api("GET", "/gates").catch(() => ({ gates: [] }));
    offer(form.gate, state.gates.map((one) => one.gate));
    gates = state.gates.filter((one) => one.status.online && !one.stale).map((one) => one.gate);
    load();
  },
  people: ({ person }) => {
    loadSoon();
    refresh(person);
  },
});
const wanted = new URLSearchParams(location.search).get("person");
if (wanted) open(wanted);
