// What every page does: colours, signing out, and the end of the session.

import { api, now, signIn } from "./api.js";
import { $, el, note, trouble } from "./dom.js";

const NOTICE_MS = 120_000;
const THEMES = { auto: "as the system", light: "light", dark: "dark" };

/** This session: user, role, expires_at, site, visitors, metrics. */
export const session = api("GET", "/session");

/** Say something above the content, in place of what was said there of this kind; with null only that goes. */
export function tell(kind, made) {
  document.querySelector(`#notices [data-kind=${kind}]`)?.remove();
  if (!made) return;
  made.dataset.kind = kind;
  $("notices").append(made);
}

/** Show an error above the content, or with null take it away. A page that is left is not told what it missed. */
export function complain(error) {
  if (!error) tell("error", null);
  else if (error.status === 503 && document.querySelector("#notices [data-kind=link]")) tell("error", null); // the link says why
  else if (error.name !== "AbortError" && error.status !== 401) tell("error", trouble(error));
}

function theme() {
  const button = $("theme");
  const show = () => {
    const chosen = document.documentElement.dataset.theme ?? "auto";
    button.setAttribute("aria-label", `Colours: ${THEMES[chosen]}`);
    button.title = `Colours: ${THEMES[chosen]}`;
  };
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % names.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // a browser that keeps nothing asks again on the next page
    }
    show();
  });
  show();
}

/** Tell before the session ends, and go to the login when it has ended. */
function watch(expires) {
  const left = Date.parse(expires) - now();
  if (Number.isNaN(left)) return;
  const dismiss = el("button", { type: "button", class: "quiet small", on: { click: () => tell("session", null) } }, "Dismiss");
  const soon = note("ask", el("b", {}, "Your session ends soon."), "Finish what you are doing. You will then be asked to sign in again.", dismiss);
  setTimeout(() => tell("session", soon), Math.max(0, left - NOTICE_MS));
  const ask = () => api("GET", "/session").then(() => setTimeout(ask, 5000), (error) => error.status === 401 || setTimeout(ask, 5000));
  // Browsers take no longer delay than 2^31 ms.
  setTimeout(ask, Math.min(left + 500, 2 ** 31 - 1));
}

theme();
$("leave").addEventListener("click", async () => {
  await api("DELETE", "/session").catch(complain);
  location.assign("/login");
});
addEventListener("pageshow", (event) => event.persisted && api("GET", "/session").catch(() => signIn()));
session.then((one) => watch(one.expires_at), complain);
