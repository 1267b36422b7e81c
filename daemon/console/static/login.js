// Sign in, and go where one wanted to go.

import { api } from "./api.js";
import { $, busy, trouble } from "./dom.js";

const PAGES = ["/", "/people", "/enrol", "/health", "/visitors"];
const asked = new URLSearchParams(location.search);
const form = $("login");

$("why").hidden = !asked.has("ended");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const empty = [form.user, form.password].find((field) => !field.value);
  if (empty) {
    $("notices").replaceChildren(trouble({ message: empty === form.user ? "write your user name" : "write your password" }));
    return empty.focus();
  }
  busy(form.querySelector("button"), async () => {
    try {
      await api("POST", "/session", { user: form.user.value, password: form.password.value });
      const next = asked.get("next");
      location.replace(PAGES.includes(next) ? next : "/");
    } catch (error) {
      $("notices").replaceChildren(trouble(error));
      form.password.value = "";
      form.password.focus();
    }
  });
});
