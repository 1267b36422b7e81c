// The console's JSON API. Every failure is an ApiError with a message and the next step.

const RANKS = ["viewer", "guard", "desk", "admin"];

export class ApiError extends Error {
  /** `content` is the whole answer: some failures also have the answers or pictures that they are about. */
  constructor(message, hint = "", code = "", status = 0, content = {}) {
    super(message);
    Object.assign(this, { hint, code, status, content });
  }
}

/** Whether this session's role includes `role`. The console asks again; this only hides what it would refuse. */
export const may = (role) => RANKS.indexOf(document.body.dataset.role) >= RANKS.indexOf(role);

let skewMs = 0;

/** The console's time in milliseconds, also where this device's clock is wrong. */
export const now = () => Date.now() + skewMs;

/** Ask the console. `body` is FormData or becomes JSON. Gives the answer. */
export async function api(method, path, body = undefined, signal = undefined) {
  const headers = { Accept: "application/json" };
  const token = document.querySelector("meta[name=csrf]");
  if (method !== "GET" && token) headers["X-CSRF-Token"] = token.content;
  const isForm = body instanceof FormData;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api${path}`, { method, headers, signal, body: isForm || body === undefined ? body : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the console does not answer", "check the network, and whether the console runs");
  }
  const said = Date.parse(answer.headers.get("Date") ?? "");
  if (!Number.isNaN(said)) skewMs = Math.abs(said - Date.now()) > 2500 ? said - Date.now() : 0;
  const content = await answer.json().catch(() => null);
  if (answer.ok) return content;
  const failed = new ApiError(content?.error ?? `the console answered ${answer.status}`, content?.hint ?? "", content?.code ?? "", answer.status, content ?? {});
  if (answer.status === 401 && document.body.dataset.role) signIn();
  throw failed;
}

/** To the login, and afterwards back to this page. */
export function signIn() {
  location.assign(`/login?ended=1&next=${encodeURIComponent(location.pathname)}`);
}

export const person = (number) => `/people/${encodeURIComponent(number)}`;
