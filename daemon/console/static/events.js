// What the console tells by itself: server-sent events, joined again after every loss.

import { api } from "./api.js";
import { $, el, note, sentence } from "./dom.js";
import { tell } from "./shell.js";

const AGAIN_MS = 3000;
const KINDS = ["decision", "gap", "gate", "link", "people", "visitor", "visitor_gone"];

/** Call `handlers[kind](data)` for each event. `handlers.hello` is called after every connection: what was missed must be asked for.
 *
 * A page that nobody sees is not connected: a browser has few connections to one console, and many tabs would use them up. */
export function listen(handlers) {
  let source = null;
  let again = 0;
  const close = () => {
    clearTimeout(again);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    if (document.hidden) return;
    source = new EventSource("/api/events");
    source.addEventListener("hello", (event) => {
      showLink(JSON.parse(event.data).link);
      handlers.hello?.();
    });
    for (const kind of KINDS)
      source.addEventListener(kind, (event) => {
        const data = JSON.parse(event.data);
        if (kind === "link") showLink(data);
        handlers[kind]?.(data);
      });
    source.addEventListener("error", lost);
  };
  const lost = () => {
    close();
    show("down", "Connection lost. Trying again…");
    again = setTimeout(async () => {
      await api("GET", "/session").catch(() => null); // an ended session leads to the login
      open();
    }, AGAIN_MS);
  };
  document.addEventListener("visibilitychange", open);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}

/** Show whether the console hears the broker, and if not, that nothing on the page is of now. */
function showLink(link) {
  show(link.connected ? "up" : "down", link.connected ? "Live" : "No connection to the broker");
  tell("link", link.connected ? null : note("bad", el("b", {}, "The console has no connection to the broker. What you see here may be old."), sentence(link.trouble)));
}

function show(state, words) {
  const place = $("link");
  place.hidden = false;
  place.dataset.state = state;
  const text = place.querySelector(".words");
  if (text.textContent !== words) text.textContent = words;
  place.title = words;
}
