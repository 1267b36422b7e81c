// What the console tells by itself: server-sent events, joined again after every loss.

import { api } from "./api.js";
import { $ } from "./dom.js";

const AGAIN_MS = 3000;
const KINDS = ["decision", "gap", "gate", "link", "people", "visitor", "visitor_gone"];

/** Call `handlers[kind](data)` for each event. `handlers.hello` is called after every connection: what was missed must be asked for. */
export function listen(handlers) {
  let source;
  const open = () => {
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
    show("down", "Connection lost. Trying again…");
    source.close();
    setTimeout(async () => {
      await api("GET", "/session").catch(() => null); // an ended session leads to the login
      open();
    }, AGAIN_MS);
  };
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}

/** Show whether the console hears the broker. */
function showLink(link) {
  if (link.connected) show("up", "Live");
  else show("down", `No connection to the broker${link.trouble ? `: ${link.trouble}` : ""}`);
}

function show(state, words) {
  const place = $("link");
  place.hidden = false;
  place.dataset.state = state;
  const text = place.querySelector(".words");
  if (text.textContent !== words) text.textContent = words;
  place.title = words;
}
