// Names for the numbers in decisions. Only roles that may read people's records get them.

import { api, may, person } from "./api.js";

const PAGE = 1000;

const names = new Map(); // number -> name or null
const waiting = new Map(); // number -> what to call when its name is there
let first = null;
let isAsking = false;

/** Call `then(name)` once the name of this number is known; null if there is none. */
export function named(number, then) {
  if (!may("guard") || !number) return;
  if (names.has(number)) return then(names.get(number));
  waiting.set(number, [...(waiting.get(number) ?? []), then]);
  // One page of the list has everybody at most sites. Others are asked for one after the other.
  first ??= api("GET", `/people?limit=${PAGE}`).then((page) => page.people.forEach((one) => names.set(one.person, one.name ?? null)), () => null);
  first.then(work);
}

/** The name of this number may have changed. */
export const forget = (number) => names.delete(number);

async function work() {
  if (isAsking) return;
  isAsking = true;
  try {
    for (let [number] = waiting.keys(); number !== undefined; [number] = waiting.keys()) {
      if (!names.has(number)) names.set(number, await api("GET", person(number)).then((one) => one.name ?? null, () => null));
      const then = waiting.get(number);
      waiting.delete(number);
      then.forEach((does) => does(names.get(number)));
    }
  } finally {
    isAsking = false;
  }
}
