// Add a face: photos or a gate's camera, the gate's opinion while one works, and a sure end.

import { all, answers, gatesWith } from "./answers.js";
import { isStranger, pair, stranger, twin } from "./alike.js";
import { api, person } from "./api.js";
import { $, busy, el, listed, note, plain, settled, trouble } from "./dom.js";
import { listen } from "./events.js";
import { brief, opinions } from "./opinions.js";
import { album } from "./photos.js";
import { choicesOf, fill, offerChoices, read } from "./record.js";
import { complain } from "./shell.js";

const NUMBER = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const SETTLE_MS = 500;

const form = $("enrol");
const go = $("go");
const asked = new URLSearchParams(location.search);
let choices = { gates: [], schedules: [] };
let record = null; // of the number that stands there, if the gates know it
let grants = {}; // force, replace: what an admin has chosen for these photos
let running = null; // the dry run under way
let isLooking = false; // whether the number is still to be looked for
const photos = album(() => ((grants = {}), check()), complain);

const number = () => form.person.value.trim();
const isCapture = () => form.how.value === "gate";

function say(...made) {
  $("answer").replaceChildren(...made.filter(Boolean));
}

/** What is still missing, in words; null if the gate can be asked. */
function missing() {
  const face = isCapture() ? (form.at.value ? null : "a gate") : photos.photos.length ? null : "a photo";
  const who = number() ? null : "a number";
  const both = [face, who].filter(Boolean);
  return both.length ? `Add ${listed(both)}, and the gate says what it thinks. Nothing is changed before you press Enrol.` : null;
}

function body(isDry, sent = photos.usable()) {
  const said = read(form);
  const filled = Object.entries(said).filter(([, value]) => value !== null);
  if (isCapture()) return { gate: form.at.value, seconds: Number(form.seconds.value) || 5, ...Object.fromEntries(filled), ...grants };
  const data = new FormData();
  for (const photo of sent) data.append("pictures", photo.blob, photo.name);
  for (const [name, value] of filled) for (const one of [value].flat()) data.append(name, one);
  for (const name of Object.keys(grants)) data.append(name, "true");
  if (isDry) data.append("dry_run", "true");
  data.append("at", "all");
  return data;
}

function isNumberRight() {
  const right = !number() || NUMBER.test(number());
  form.person.setAttribute("aria-invalid", String(!right));
  $("person-hint").textContent = right ? "An employee number such as E1042, never a name." : "Letters, digits and . _ @ - only, and a letter or digit first.";
  return right && Boolean(number());
}

/** Ask the gate what it would answer, and show it. */
const check = settled(async () => {
  running?.abort();
  go.disabled = true;
  $("alike").replaceChildren();
  const lacks = missing();
  if (isLooking) return; // it comes here again
  if (!isNumberRight() || lacks) {
    photos.judge();
    name();
    return say(note("", lacks ?? "This number cannot be used."));
  }
  if (isCapture()) {
    go.disabled = false;
    go.textContent = `Enrol at ${form.at.value}`;
    return say(note("", `The camera of ${form.at.value} looks for ${form.seconds.value} seconds once you press the button.`, "Let the person stand in front of it first, alone."));
  }
  const mine = (running = new AbortController());
  say(note("", "Asking the gate…"));
  $("answer").setAttribute("aria-busy", "true");
  try {
    judge(...(await opinions(photos.photos, (some) => api("POST", `${person(number())}/pictures`, body(true, some), mine.signal), photos.judge)));
  } catch (error) {
    if (error.name !== "AbortError") failed(error, photos.photos);
  } finally {
    if (running === mine) $("answer").removeAttribute("aria-busy");
  }
}, SETTLE_MS);

/** The button says what it would do. */
function name() {
  go.textContent = grants.force ? "Enrol anyway" : grants.replace ? "Replace the pictures" : record ? `Add to ${number()}` : "Enrol";
  go.classList.toggle("danger", Boolean(grants.force || grants.replace));
}

function judge(said, known) {
  photos.judge(known);
  const isFine = all(said.answers, "done");
  const told = tellable(said.answers);
  const out = photos.photos.filter((photo) => known.get(photo)?.taken === false);
  say(
    told && answers(told, record ? "it would add these photos" : "it would enrol this face"),
    out.length && isFine && note("ask", `Left out: ${listed(out.map((photo) => photo.name))}.`, "Each says why. Take another photo, or go on without."),
  );
  go.disabled = !said.answers.some((one) => one.status === "done");
  name();
  $("alike").replaceChildren();
  if (isFine) return;
  choose(said.answers);
}

/** The answers without those that `choose` shows as two people; null if none is left. */
function tellable(given) {
  const left = given.filter((one) => !twin([one])).map(brief);
  return left.length ? left : null;
}

/** Offer what can be done about somebody who looks alike, or does not look like themselves. */
function choose(given) {
  const other = twin(given);
  const does = {
    stop: () => reset(),
    same: (known) => {
      [form.person.value, form.name.value, isLooking] = [known, "", true];
      look();
    },
    force: () => ((grants = { force: true }), check()),
    replace: () => ((grants = { replace: true }), check()),
  };
  if (other) $("alike").replaceChildren(pair(other, { number: number(), name: form.name.value.trim(), url: photos.photos[0]?.url }, does));
  else if (record && isStranger(given)) $("alike").replaceChildren(stranger(number(), does));
}

/** See whether the gates know this number, and fill in what they know. */
async function look() {
  const wanted = number();
  const before = record;
  record = null;
  if (isNumberRight()) record = await api("GET", person(wanted)).catch(() => null);
  if (wanted !== number()) return;
  isLooking = false;
  if (record) fill(form, { ...record, name: form.name.value || record.name }, choices);
  else if (before) fill(form, {}, choices);
  $("known").hidden = !record;
  if (record) {
    const count = `${record.templates} ${record.templates === 1 ? "picture" : "pictures"}`;
    $("known").querySelector("span").textContent = `${record.person}${record.name ? ` is ${plain(record.name)} and` : ""} is already enrolled with ${count}. New photos are added to this record.`;
  }
  check();
}

async function enrol() {
  const wanted = number();
  try {
    const said = isCapture() ? await captured() : await api("POST", `${person(wanted)}/pictures`, body(false));
    if (said.answers.some((one) => one.status === "done")) return finish(wanted, said.answers);
    say(tellable(said.answers) && answers(tellable(said.answers), ""));
    choose(said.answers);
  } catch (error) {
    failed(error, photos.usable());
  }
}

/** No gate has carried it out: what is wrong, which pictures cannot be used, and what those gates said that answered. */
function failed(error, sent) {
  const pictures = error.content?.pictures;
  if (pictures?.length === sent.length) photos.judge(new Map(sent.map((photo, at) => [photo, pictures[at]])));
  say(trouble(error), error.content?.answers?.length && answers(error.content.answers, "done"));
}

/** Enrol at a gate, with a countdown while its camera looks. */
async function captured() {
  const asks = body(false);
  let left = asks.seconds;
  const count = el("b", {}, "");
  const tell = () => (count.textContent = left > 0 ? `Look at the camera of ${asks.gate}: ${left--} s` : "The gate compares the pictures…");
  say(note("", count, "Alone, face to the camera, about a step away."));
  tell();
  const timer = setInterval(tell, 1000);
  try {
    return await api("POST", `${person(number())}/capture`, asks);
  } finally {
    clearInterval(timer);
  }
}

function finish(who, given) {
  const at = gatesWith(given, "done");
  const not = given.filter((one) => one.status !== "done").map((one) => one.gate);
  $("done-title").textContent = `${who} is enrolled at ${listed(at)}${not.length ? `, and not at ${listed(not)}` : ""}`;
  $("done-answers").replaceChildren(...(not.length ? [answers(given, "enrolled")] : []));
  $("done").querySelector(".seal").className = not.length ? "seal ask" : "seal";
  $("see").href = `/people?person=${encodeURIComponent(who)}`;
  form.hidden = true;
  $("done").hidden = false;
  $("done").focus();
  scrollTo(0, 0);
}

function reset() {
  running?.abort();
  form.reset();
  photos.clear();
  [record, grants, isLooking] = [null, {}, false];
  $("known").hidden = true;
  $("done").hidden = true;
  form.hidden = false;
  offerChoices(form, choices);
  show();
  form.person.focus();
}

function show() {
  $("photos").hidden = isCapture();
  $("capture").hidden = !isCapture();
  check();
}

async function load() {
  const { gates: all } = await api("GET", "/gates");
  choices = choicesOf(all);
  const gates = all.map((one) => one.gate);
  const chosen = form.at.value || asked.get("gate");
  form.at.replaceChildren(...gates.map((gate) => el("option", { value: gate }, gate)));
  if (gates.includes(chosen)) form.at.value = chosen;
  offerChoices(form, choices);
}

const lookSoon = settled(look, SETTLE_MS);
form.person.addEventListener("input", () => {
  [grants, isLooking, go.disabled] = [{}, true, true];
  running?.abort();
  lookSoon();
});
for (const name of ["how", "at", "seconds"]) form.addEventListener("change", (event) => event.target.name === name && show());
form.addEventListener("change", (event) => ["gates", "schedule", "valid_from", "valid_until", "valid_from_time", "valid_until_time"].includes(event.target.name) && check());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!go.disabled) busy(go, enrol);
});
$("again").addEventListener("click", reset);
if (asked.get("gate")) form.how.value = "gate";
if (asked.get("person")) form.person.value = asked.get("person");
await load().catch(complain);
show();
if (number()) look();
listen({ hello: () => load().catch(complain) });
