// Gates as they are, and decisions as they come. What is shown is forgotten with the page.

import { api, may } from "./api.js";
import { $, el, icon, plain } from "./dom.js";
import { listen } from "./events.js";
import { gates, offer } from "./gates.js";
import { forget, named } from "./names.js";
import { complain } from "./shell.js";
import { clock, since } from "./times.js";
import { VERDICTS, known, why } from "./words.js";

const MOST = 300;
const SAY_MS = 3000;

const form = $("filter");
const newest = new Map(); // gate -> highest sequence that was seen
let entries = []; // newest first: {decision} or {gap}
let isPaused = false;
let isLoading = false;
let unseen = 0;
let toSay = [];

function passes({ decision, gap }) {
  const gate = form.gate.value;
  if (gap) return !gate || gap.gate === gate;
  const text = form.person.value.trim().toLowerCase();
  const about = [decision.person, decision.name].filter(Boolean).join(" ").toLowerCase();
  return (!gate || decision.gate === gate) && (!form.decision.value || decision.decision === form.decision.value) && about.includes(text);
}

const whom = (one) => one.name || one.person || (one.decision === "unknown" ? "Somebody unknown" : "Nobody in particular");

const whomRow = (one) => el("p", { class: "whom" }, el("b", {}, whom(one)), one.name && one.person ? el("span", { class: "muted number" }, one.person) : null);

function row(entry, isNew) {
  if (entry.gap) return el("li", { class: "gap" }, entry.words);
  const one = entry.decision;
  const verdict = known(VERDICTS, one.decision);
  const isReplaced = entries.some((other) => other.decision?.supersedes === one.event_id);
  const marks = [
    isReplaced && el("span", { class: "chip" }, "replaced by a later answer"),
    one.supersedes && el("span", { class: "chip" }, "replaces an earlier answer"),
    !one.live && el("span", { class: "chip ask" }, icon("clock"), one.decision === "accept" ? "not live: opens nothing" : "not live"),
    one.decision === "unknown" && may("desk") && !isReplaced && el("a", { class: "enrol-link", href: `/enrol?gate=${encodeURIComponent(one.gate)}` }, "Enrol at this gate"),
  ];
  return el(
    "li",
    { class: [isNew && "new", isReplaced && "replaced"].filter(Boolean).join(" "), "data-event": one.event_id },
    el("span", { class: `sign ${verdict.look}` }, icon(verdict.sign)),
    whomRow(one),
    el("p", { class: "when" }, el("span", {}, clock(one.captured_at)), " ", el("small", {}, since(one.captured_at))),
    el("p", { class: "why" }, el("span", { class: "reason" }, el("b", {}, verdict.words), `: ${why(one.reason)}`), ...marks),
    el("p", { class: "where" }, icon("gate"), el("span", { class: "visually-hidden" }, "at gate "), one.gate),
  );
}

/** Draw everything anew. */
function show() {
  if (isPaused || isLoading) return;
  const shown = entries.filter(passes);
  $("feed").replaceChildren(...shown.map((entry) => row(entry, false)));
  $("feed").removeAttribute("aria-busy");
  tellNothing();
}

/** Add what is newest and leave the others alone, so that nobody who is in the list with the keyboard is thrown out. */
function add(entry) {
  if (isPaused) return;
  if (passes(entry)) $("feed").prepend(row(entry, true));
  const earlier = entries.find((other) => entry.decision?.supersedes && other.decision?.event_id === entry.decision.supersedes);
  if (earlier) placeOf(earlier)?.replaceWith(row(earlier, false));
  while ($("feed").children.length > MOST) $("feed").lastChild.remove();
  tellNothing();
}

const placeOf = (entry) => $("feed").querySelector(`[data-event="${CSS.escape(entry.decision.event_id)}"]`);

function tellNothing() {
  $("nothing").hidden = $("feed").children.length > 0;
  $("nothing").querySelector("span").textContent = entries.length
    ? "No decision fits this filter."
    : "No decisions yet. As soon as somebody comes to a gate, they appear here.";
}

const isThere = (decision) => entries.some((entry) => entry.decision?.event_id === decision.event_id);

/** Put a decision on top, and before it what is missing. */
function take(decision) {
  // After an outage the newest comes first and the others later, so what has not come yet is said once.
  const before = newest.get(decision.gate) ?? decision.sequence;
  newest.set(decision.gate, Math.max(before, decision.sequence));
  if (before < decision.previous) put({ gap: decision, words: `${decision.gate}: decisions after number ${before} and before ${decision.sequence} have not come so far.` });
  put({ decision });
  if (decision.person && !decision.name) named(decision.person, (name) => rename(decision, name));
}

/** Put an entry on top, in the list and on the page. */
function put(entry) {
  entries = [entry, ...entries].slice(0, MOST);
  if (!isLoading) add(entry);
}

function rename(decision, name) {
  if (!name) return;
  decision.name = name;
  if (form.person.value) show();
  else placeOf({ decision })?.querySelector(".whom").replaceWith(whomRow(decision));
}

function arrive(decision) {
  if (isThere(decision)) return;
  take(decision);
  gates.decided(decision);
  if (isPaused) {
    unseen += 1;
    pauseWords();
  } else if (passes({ decision })) say(`${known(VERDICTS, decision.decision).words}: ${whom(decision)} at ${decision.gate}`);
}

/** For screen readers: at most one sentence in some seconds. */
function say(words) {
  toSay.push(words);
  if (toSay.length > 1) return;
  setTimeout(() => {
    $("said").textContent = plain(toSay.length > 2 ? `${toSay.length} new decisions. The last: ${toSay.at(-1)}` : toSay.join(". "));
    toSay = [];
  }, SAY_MS);
}

const dropped = (gap) => {
  const why = gap.reason === "full" ? "too many waited for the broker" : "they waited too long for the broker";
  const which = gap.decisions ? ` (numbers ${gap.first} to ${gap.last})` : "";
  return `${gap.gate}: ${gap.decisions} decisions${which} and ${gap.answers} answers will never come: ${why}. The gate's audit has the decisions.`;
};

/** Ask for everything: at the beginning, and after a lost connection. */
async function load() {
  try {
    complain(null);
    const [state, past] = await Promise.all([api("GET", "/gates"), api("GET", `/decisions?limit=${MOST}`)]);
    isLoading = true;
    gates.show(state.gates);
    offer(form.gate);
    // A decision that came while the console was being asked is in neither list for sure, so both count.
    const decisions = new Map([...entries.map((entry) => entry.decision), ...past.decisions].filter(Boolean).map((one) => [one.event_id, one]).reverse());
    entries = [];
    newest.clear();
    const told = [...[...decisions.values()].map((one) => [one.decided_at, one]), ...(past.gaps ?? []).toReversed().map((gap) => [gap.at, gap])];
    told.sort(([a], [b]) => Date.parse(a) - Date.parse(b));
    for (const [, one] of told) {
      if (one.decision) take(one);
      else put({ gap: one, words: dropped(one) });
      if (one.decision) gates.decided(one);
    }
  } catch (error) {
    complain(error);
  } finally {
    isLoading = false;
    show();
  }
}

function pauseWords() {
  $("pause").querySelector("span").textContent = isPaused ? `Go on${unseen ? ` (${unseen} new)` : ""}` : "Pause";
}

$("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  unseen = 0;
  $("pause").setAttribute("aria-pressed", String(isPaused));
  $("pause").querySelector("use").setAttribute("href", isPaused ? "#i-play" : "#i-pause");
  pauseWords();
  show();
});
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
listen({
  hello: load,
  decision: arrive,
  gap: (gap) => put({ gap, words: dropped(gap) }),
  gate: (gate) => {
    gates.show([gate]);
    offer(form.gate);
  },
  people: ({ person }) => forget(person),
});
