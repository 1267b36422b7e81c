// People whom a gate did not know: assign each to a person, or dismiss them. The pictures are never kept.

import { answers } from "./answers.js";
import { api, now, person } from "./api.js";
import { $, busy, el, icon, note, trouble } from "./dom.js";
import { listen } from "./events.js";
import { complain, tell } from "./shell.js";
import { clock, since } from "./times.js";
import { why } from "./words.js";

const visitors = new Map();

const path = (one) => `/visitors/${encodeURIComponent(one.id)}`;

function left(one) {
  const seconds = Math.max(0, (Date.parse(one.gone_at) - now()) / 1000);
  return seconds < 60 ? `the picture goes in ${Math.ceil(seconds)} s` : `the picture goes in ${Math.round(seconds / 60)} min`;
}

function card(one) {
  const picture = el("img", { src: `/api${path(one)}/picture`, alt: `Unknown visitor at ${one.gate}, ${clock(one.seen_at)}`, loading: "lazy" });
  picture.addEventListener("error", () => picture.replaceWith(el("span", {}, "The picture cannot be opened here")));
  return el(
    "li",
    { class: "card visitor", "data-visitor": one.id },
    el("div", { class: "frame" }, picture),
    el(
      "div",
      { class: "body" },
      el("p", {}, el("b", {}, one.gate), ` at ${clock(one.seen_at)}, `, since(one.seen_at)),
      one.reason ? el("p", { class: "muted" }, why(one.reason)) : null,
      el("p", { class: "muted took" }, icon("clock"), el("span", { "data-until": one.gone_at }, left(one))),
      el("div", { class: "said", role: "status" }),
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", class: "primary", on: { click: () => assign(one) } }, "Who is it?"),
        el("button", { type: "button", on: { click: (event) => busy(event.currentTarget, () => dismiss(one)) } }, "Dismiss"),
      ),
    ),
  );
}

function draw() {
  const all = [...visitors.values()].sort((a, b) => Date.parse(b.seen_at) - Date.parse(a.seen_at));
  const there = new Map([...$("visitors").children].map((made) => [made.dataset.visitor, made]));
  for (const [id, made] of there) if (!visitors.has(id)) made.remove();
  all.forEach((one, at) => {
    if (!there.has(one.id)) $("visitors").insertBefore(card(one), $("visitors").children[at] ?? null);
  });
  $("visitors").removeAttribute("aria-busy");
  $("nothing").hidden = all.length > 0;
  $("nothing").querySelector("span").textContent = "No unknown visitor. Somebody whom a gate does not know appears here for a few minutes.";
}

function gone(id) {
  visitors.delete(id);
  draw();
}

async function dismiss(one) {
  try {
    await api("POST", `${path(one)}/dismiss`, {});
    gone(one.id);
    $("main").focus();
  } catch (error) {
    document.querySelector(`[data-visitor="${CSS.escape(one.id)}"] .said`)?.replaceChildren(trouble(error));
  }
}

/** Ask for a number, and enrol the visitor under it. */
function assign(one) {
  const number = el("input", { name: "person", required: true, maxlength: 64, autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  const name = el("input", { name: "name", maxlength: 200, autocomplete: "off" });
  const consent = el("input", { name: "consent", maxlength: 500, autocomplete: "off", placeholder: "For example: signed form, HR folder 12" });
  const said = el("div", { role: "alert" });
  const save = el("button", { class: "primary" }, "Enrol");
  const form = el(
    "form",
    { novalidate: true, "aria-labelledby": "assign-title" },
    el("h2", { id: "assign-title" }, "Who is it?"),
    el("div", { class: "top" }, el("img", { class: "face-mark big", src: `/api${path(one)}/picture`, alt: "The visitor" }), el("p", { class: "muted" }, "A number that the gates know gets one more picture. A new number becomes a new person.")),
    el("label", { class: "field" }, el("span", {}, "Number"), number),
    el("label", { class: "field" }, el("span", {}, "Name ", el("i", {}, "for a new person")), name),
    el("label", { class: "field" }, el("span", {}, "Consent ", el("i", {}, "where it is kept")), consent),
    said,
    el("div", { class: "buttons end" }, el("button", { type: "button", on: { click: () => asked.close() } }, "Cancel"), save),
  );
  const asked = el("dialog", { "aria-labelledby": "assign-title" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!number.value.trim()) return number.focus();
    busy(save, async () => {
      const fields = { person: number.value.trim(), name: name.value.trim() || null, consent: consent.value.trim() || null };
      try {
        const given = await api("POST", `${path(one)}/assign`, Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)));
        said.replaceChildren(answers(given.answers, "enrolled"));
        if (!given.answers.some((answer) => answer.status === "done")) return;
        asked.close();
        gone(one.id);
        tell("done", note("good", `${fields.person} is enrolled.`, null, el("a", { class: "button small", href: `/people?person=${encodeURIComponent(fields.person)}` }, "See the record")));
      } catch (error) {
        said.replaceChildren(trouble(error));
      }
    });
  });
  asked.addEventListener("close", () => asked.remove());
  document.body.append(asked);
  asked.showModal();
}

async function load() {
  try {
    const said = await api("GET", "/visitors");
    visitors.clear();
    for (const one of said.visitors) visitors.set(one.id, one);
    draw();
  } catch (error) {
    complain(error);
  }
}

setInterval(() => {
  for (const place of document.querySelectorAll("[data-until]")) place.textContent = left({ gone_at: place.dataset.until });
  for (const one of [...visitors.values()]) if (Date.parse(one.gone_at) <= now()) gone(one.id);
}, 1000);
listen({
  hello: load,
  visitor: (one) => {
    visitors.set(one.id, one);
    draw();
    $("said").textContent = `An unknown visitor at ${one.gate}`;
  },
  visitor_gone: ({ id }) => gone(id),
});
