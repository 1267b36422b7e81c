// Times: RFC 3339 in the API, this device's time zone on the page.

import { now } from "./api.js";
import { el } from "./dom.js";

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

const valid = (text) => typeof text === "string" && !Number.isNaN(Date.parse(text));
const isMidnight = (at) => at.getHours() + at.getMinutes() + at.getSeconds() + at.getMilliseconds() === 0;
const isDaysEnd = (at) => isMidnight(new Date(at.getTime() + 1)); // as ostiaryctl writes it

export const clock = (text) => (valid(text) ? CLOCK.format(new Date(text)) : "–");
export const day = (text) => (valid(text) ? DAY.format(new Date(text)) : "–");
const moment = (at) => (isMidnight(at) ? DAY.format(at) : `${DAY.format(at)} ${SHORT.format(at)}`);

/** How long ago, in words. */
export function ago(text) {
  if (!valid(text)) return "";
  const seconds = Math.max(0, (now() - Date.parse(text)) / 1000);
  if (seconds < 2) return "just now";
  for (const [most, size, unit] of [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"]])
    if (seconds < most) return `${Math.round(seconds / size)} ${unit} ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

/** A time that says how long ago it was, and goes on doing so. */
export const since = (text) => el("time", { datetime: text, "data-ago": true, title: valid(text) ? new Date(text).toLocaleString("en-GB") : null }, ago(text));

setInterval(() => {
  for (const place of document.querySelectorAll("time[data-ago]")) {
    const words = ago(place.dateTime);
    if (place.textContent !== words) place.textContent = words;
  }
}, 1000);

/** When somebody may pass, in words. A validity that ends at midnight ends with the day before. */
export function validity(from, until) {
  const begins = valid(from) ? `from ${moment(new Date(from))}` : "";
  let ends = "";
  if (valid(until)) {
    const at = new Date(until);
    ends = `until ${isMidnight(at) ? DAY.format(dayBefore(at)) : isDaysEnd(at) ? DAY.format(at) : moment(at)}`;
  }
  return [begins, ends].filter(Boolean).join(" ") || "at any time";
}

// By the calendar and not by 24 hours: two days a year are longer or shorter.
const dayBefore = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate() - 1);
const two = (number, digits = 2) => String(number).padStart(digits, "0");
const dayField = (at) => `${two(at.getFullYear(), 4)}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;

/** What a date field and a time field say, as RFC 3339 with this zone's offset; null if no day is given. Without a time a beginning is
 * the day's first moment, and an end (`isEnd`) the next day's: the day counts to its end. */
export function fromFields(date, time, isEnd) {
  if (!date) return null;
  const [year, month, dayOfMonth] = date.split("-").map(Number);
  const [hour, minute] = time ? time.split(":").map(Number) : [0, 0];
  const at = new Date(year, month - 1, dayOfMonth + (isEnd && !time ? 1 : 0), hour, minute);
  const offset = -at.getTimezoneOffset();
  const size = Math.abs(offset);
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
  return `${dayField(at)}T${two(at.getHours())}:${two(at.getMinutes())}:00${zone}`;
}

/** The other way: [date, time] for the fields. */
export function toFields(text, isEnd) {
  if (!valid(text)) return ["", ""];
  const at = new Date(text);
  if (isMidnight(at)) return [dayField(isEnd ? dayBefore(at) : at), ""];
  return [dayField(at), `${two(at.getHours())}:${two(at.getMinutes())}`];
}
