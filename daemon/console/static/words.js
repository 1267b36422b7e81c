// What the contract's words mean to people, with the sign and the look of each: nothing depends on a colour alone.

import { now } from "./api.js";

export const VERDICTS = {
  accept: { look: "good", sign: "check", words: "Accepted" },
  reject: { look: "bad", sign: "cross", words: "Rejected" },
  unknown: { look: "ask", sign: "ask", words: "Unknown" },
};

/** Why a gate decided so, by the reason of the MQTT contract. They are those of a replay's page (daemon/drawing/words.py). */
export const REASONS = {
  matched: "recognised",
  verified: "recognised as the claimed person",
  suspended: "recognised, but suspended",
  unconfirmed: "recognised, but only by photos that no camera has confirmed",
  expired: "recognised, but no longer valid",
  not_yet_valid: "recognised, but not valid yet",
  not_permitted_here: "recognised, but not permitted at this gate",
  not_permitted_now: "recognised, but not permitted at this time",
  clock_untrusted: "recognised, but a time rule applies and the clock is not trusted",
  claim_mismatch: "not the claimed person",
  spoof_suspected: "possibly not a living face",
  ambiguous: "two enrolled people are too similar to tell apart",
  no_match: "no enrolled person is similar enough",
  unscorable: "stayed, but was never seen well enough to be scored",
};

export const STATES = {
  serving: { look: "good", sign: "check", words: "Serving" },
  degraded: { look: "ask", sign: "warn", words: "Needs attention" },
  closed: { look: "bad", sign: "cross", words: "Closed" },
  offline: { look: "bad", sign: "cross", words: "Offline" },
  stale: { look: "bad", sign: "clock", words: "Silent" },
};

/** By state of a record; `standing` gives the entry of a record. */
const PEOPLE = {
  active: { look: "good", sign: "check", words: "Active" },
  suspended: { look: "bad", sign: "pause", words: "Suspended" },
  unconfirmed: { look: "ask", sign: "ask", words: "Unconfirmed" },
  expired: { look: "bad", sign: "clock", words: "Expired" },
  early: { look: "ask", sign: "clock", words: "Not valid yet" },
};

export const CAMERAS = { up: "Camera works", down: "No picture", ended: "Recording is over" };

/** How somebody's record stands now: its state, or that its validity is over or has not begun. */
export function standing(record) {
  const is = (state) => known(PEOPLE, state);
  if (record.state === "suspended") return is("suspended");
  if (Date.parse(record.valid_until) <= now()) return is("expired");
  return is(Date.parse(record.valid_from) > now() ? "early" : record.state);
}

const plain = (word) => String(word ?? "unknown").replaceAll("_", " ");

/** The entry of a table above; a word that is not in it is shown as it is. */
export const known = (table, word) => (Object.hasOwn(table, word) ? table[word] : { look: "ask", sign: "ask", words: plain(word) });
export const why = (reason) => (Object.hasOwn(REASONS, reason) ? REASONS[reason] : plain(reason));
