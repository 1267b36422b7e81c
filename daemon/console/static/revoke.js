// Revoking somebody: what it erases, and a confirmation that is not given by accident.

import { answers } from "./answers.js";
import { api, person } from "./api.js";
import { busy, el, listed, note, trouble } from "./dom.js";

/** Ask, and revoke. `then` gets the gates' answers. */
export function revoke(record, then) {
  const typed = el("input", { name: "number", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true });
  const erase = el("button", { class: "danger", disabled: true }, "Erase this person");
  const said = el("div", { role: "alert" });
  const cancel = el("button", { type: "button", on: { click: () => asked.close() } }, "Cancel");
  const where = record.at?.length ? `at ${listed(record.at)}` : "at every gate";
  const form = el(
    "form",
    { method: "dialog", novalidate: true, "aria-labelledby": "revoke-title" },
    el("h2", { id: "revoke-title" }, `Revoke ${record.name ? `${record.name} (${record.person})` : record.person}?`),
    note("bad", el("b", {}, `Templates and pictures ${where} are erased. This cannot be undone.`), "From the next frame on the gates do not know this face. The number and the audit record stay. To lock somebody out for a while, suspend them instead."),
    el("label", { class: "field" }, el("span", {}, "Type the number ", el("code", {}, record.person), " to confirm"), typed),
    said,
    el("div", { class: "buttons end" }, cancel, erase),
  );
  const asked = el("dialog", { "aria-labelledby": "revoke-title" }, form);
  typed.addEventListener("input", () => (erase.disabled = typed.value.trim() !== record.person));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (erase.disabled) return;
    await busy(erase, async () => {
      try {
        const given = await api("DELETE", person(record.person));
        asked.close();
        then(given.answers);
      } catch (error) {
        said.replaceChildren(trouble(error), ...(error.content?.answers?.length ? [answers(error.content.answers, "revoked")] : []));
      }
    });
  });
  asked.addEventListener("close", () => asked.remove());
  document.body.append(asked);
  asked.showModal();
  typed.focus();
}
