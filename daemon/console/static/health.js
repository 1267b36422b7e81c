// What each gate says about itself, for those who keep it running.

import { api } from "./api.js";
import { $, chip, el, icon, note } from "./dom.js";
import { listen } from "./events.js";
import { advice, stateOf } from "./gates.js";
import { complain, session } from "./shell.js";
import { day, since } from "./times.js";
import { CAMERAS } from "./words.js";

const MODES = { identify: "finds people by their face", verify: "compares with a badge", both: "by face, and with a badge" };

const entries = new Map();
let metrics = {};

const number = (value, digits = 3) => (typeof value === "number" ? value.toFixed(digits) : "none");
const count = (value) => (typeof value === "number" && value >= 0 ? value.toLocaleString("en-GB") : "cannot be read");

function facts(...pairs) {
  return el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value, isWide]) => el("div", { class: isWide ? "wide" : null }, el("dt", {}, name), el("dd", {}, value))));
}

function copyable(text, about) {
  const button = el("button", { type: "button", class: "small", "aria-label": `Copy ${about}`, "data-copy": about }, icon("copy"), el("span", {}, "Copy"));
  button.addEventListener("click", async () => {
    const done = await navigator.clipboard.writeText(text).then(() => "Copied", () => "Cannot copy");
    button.lastChild.textContent = done;
    setTimeout(() => (button.lastChild.textContent = "Copy"), 2000);
  });
  return el("span", { class: "copy" }, el("code", {}, text), button);
}

const CALIBRATIONS = { gate: "measured at this gate", photos: "from photos by other cameras", fixed: "fixed by the configuration" };

/** Where the threshold comes from. */
const calibration = (status) => {
  const words = CALIBRATIONS[status.calibration] ?? status.calibration;
  return status.calibrated_at ? `${words}, ${day(status.calibrated_at)}` : words;
};

const STANDINGS = { complete: "has everybody", no_key: "has no key of the site", no_head: "has not heard the keeper", stale: "has not heard the keeper for long", incomplete: "misses records" };

/** What the gate's box shares with the other boxes of the site. */
function roster(status) {
  const { roster: shared } = status;
  if (!shared) return [];
  const head = shared.head_age_s === null ? "none heard" : `${shared.head_age_s < 90 ? Math.round(shared.head_age_s) + " s" : Math.round(shared.head_age_s / 60) + " min"} old when said`;
  return [
    el("h3", {}, "What it shares with other boxes"),
    facts(["This box", `${shared.name}${shared.keeper ? ", the keeper" : ""}`], ["Roster", STANDINGS[shared.standing] ?? shared.standing], ["Records", count(shared.records)], ["Of other boxes", `${count(shared.people)} people`], ["Newest head", head], ["Changes to send", count(shared.waiting)], ["Desks disagree about", shared.disputed ? `${count(shared.disputed)} people` : null], ["Under an old key", shared.old_key ? count(shared.old_key) : null], ["Sum", `${shared.sum.slice(0, 16)}…`]),
  ];
}

function card(entry) {
  const { gate, status } = entry;
  const state = stateOf(entry);
  const url = metrics[gate];
  const parts = [el("header", {}, icon("gate"), el("h2", { id: `gate-${gate}` }, gate), chip(state.look, state.sign, state.words)), ...advice(entry)];
  if (status.online && status.model)
    parts.push(
      facts(["Camera", CAMERAS[status.camera] ?? status.camera], ["Heard", status.at && since(status.at)], ["Mode", status.mode && (MODES[status.mode] ?? status.mode)], ["Version", status.version]),
      el("h3", {}, "How it decides"),
      facts(["Threshold", number(status.threshold)], ["Threshold for badges", status.mode && status.mode !== "identify" ? number(status.claim_threshold) : null], ["Calibration", calibration(status)], ["Model", status.model], ["Runs on", status.provider?.toUpperCase()]),
      el("h3", {}, "Whom it knows"),
      facts(["People", count(status.people)], ["Templates", count(status.templates)], ["Revision", count(status.gallery_revision)], ["Change of model", status.reembedding && `${status.reembedding.done} of ${status.reembedding.of} with ${status.reembedding.model}`]),
      ...roster(status),
      el("h3", {}, "What it says and hears"),
      facts(
        ["Messages that wait", count(status.outbox_depth)],
        ["Commands", status.commands === "signed" ? "must be signed" : status.commands === "unsigned" ? "need no signature" : null],
        ["Metrics", url ? el("a", { href: url, rel: "noreferrer" }, "Open metrics") : status.metrics && `${status.metrics}, on the gate's box`],
        ["Unknown visitors", status.share_unknown ? `shared for ${status.share_unknown} min` : null],
        ["Signs with", status.public_key && copyable(status.public_key, `the public key of ${gate}`), true],
        [`Audit head${status.audit ? ` (record ${status.audit.number.toLocaleString("en-GB")})` : ""}`, status.audit ? copyable(status.audit.head, `the audit head of ${gate}`) : "cannot be read", true],
      ),
    );
  else parts.push(facts(["Version", status.version], ["Heard", status.at && since(status.at)]));
  return el("section", { class: "card health", "aria-labelledby": `gate-${gate}`, "data-gate": gate }, ...parts);
}

function draw() {
  const focused = document.activeElement?.dataset?.copy;
  const all = [...entries.values()].sort((a, b) => a.gate.localeCompare(b.gate));
  $("gates").replaceChildren(...all.map(card));
  $("gates").removeAttribute("aria-busy");
  $("nothing").hidden = all.length > 0;
  $("nothing").querySelector("span").textContent = "No gate has said anything yet. Check that a gate of this site runs and reaches the broker.";
  if (focused) document.querySelector(`[data-copy="${CSS.escape(focused)}"]`)?.focus();
}

function broker(link) {
  $("broker").replaceChildren(link.connected ? note("good", "This console hears the broker.") : "");
}

async function load() {
  try {
    const [state, one] = await Promise.all([api("GET", "/gates"), session]);
    metrics = one.metrics ?? {};
    entries.clear();
    for (const entry of state.gates) if (entry.status) entries.set(entry.gate, entry);
    broker(state.link);
    draw();
  } catch (error) {
    complain(error);
  }
}

listen({
  hello: load,
  link: broker,
  gate: (entry) => {
    if (entry.status) entries.set(entry.gate, entry);
    else entries.delete(entry.gate); // its status was cleared: the gate is gone
    draw();
  },
});
