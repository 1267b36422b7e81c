// What the gates think of photos, before anything is changed.

import { all } from "./answers.js";

/** Ask about these photos; then again without each that a gate refuses, because it names only the first. `ask(some)` is the API's answer
 * about some of them, `heard` is called with what is known so far. Returns [the last answer, Map of photo to {taken, words} for those of which something is known]. */
export async function opinions(photos, ask, heard) {
  const known = new Map();
  for (let left = [...photos]; ; ) {
    const said = await ask(left);
    left.forEach((photo, at) => said.pictures[at]?.taken === false && known.set(photo, said.pictures[at]));
    const sent = left.filter((photo) => !known.has(photo));
    if (all(said.answers, "done")) sent.forEach((photo) => known.set(photo, { taken: true, words: "a good photo" }));
    const refusal = said.answers.find((one) => one.status === "refused" && sent[numberIn(one) - 1]);
    if (refusal) known.set(sent[numberIn(refusal) - 1], { taken: false, words: refusal.words });
    heard(known);
    left = sent.filter((photo) => !known.has(photo));
    // Which of two people's photos are the right ones, only people know.
    if (!refusal || refusal.reason === "inconsistent" || !left.length) return [said, known];
  }
}

const numberIn = (answer) => Number(/^image (\d+)/.exec(answer.detail ?? "")?.[1]);

/** An answer without the photo's number and what its words say already: the photo itself is marked. */
export function brief(answer) {
  const rest = (answer.detail ?? "").replace(/^image \d+: /, "");
  const isSaid = answer.status === "refused" && (rest === `${answer.words}; ${answer.next}` || (answer.reason === "inconsistent" && numberIn(answer)));
  return isSaid ? { ...answer, detail: null } : answer;
}
