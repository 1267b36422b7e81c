// Photos that somebody chose: shrunk here, so that little travels, and shown as thumbnails.

import { $, el, icon, listed, sentence } from "./dom.js";

const MOST = 10;
const LONGEST_PX = 2400;
const MOST_BYTES = 64 << 20;
const QUALITY = 0.92;
const PHONES = /^(heic|heix|hevc|hevx|heim|heis|mif1|msf1)$/;

/** The photos of an enrolment. `changed` is called after every change, `complain` with what is wrong with a file. */
export function album(changed, complain) {
  const photos = []; // {blob, name, url, place}
  const draw = () => $("thumbs").replaceChildren(...photos.map((photo, at) => thumb(photo, at, () => remove(photo))));

  async function add(files) {
    complain(null);
    const wrong = [];
    for (const file of files) {
      if (photos.length >= MOST) {
        complain(Object.assign(new Error(`more than ${MOST} photos`), { hint: `a gate takes ${MOST} at a time; the first ones are kept` }));
        break;
      }
      try {
        photos.push(await prepared(file));
      } catch (error) {
        wrong.push([file, error]);
      }
      draw();
    }
    if (wrong.length === 1) complain(wrong[0][1]);
    else if (wrong.length) complain(several(wrong));
    changed();
  }

  function remove(photo) {
    if (photo.url) URL.revokeObjectURL(photo.url);
    photos.splice(photos.indexOf(photo), 1);
    draw();
    (document.querySelector("#thumbs button") ?? $("choose")).focus();
    changed();
  }

  const drop = $("drop");
  for (const name of ["dragenter", "dragover"]) addEventListener(name, (event) => (event.preventDefault(), drop.classList.add("over")));
  addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser would leave the page to show the file
    drop.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => event.clipboardData.files.length && add([...event.clipboardData.files]));
  for (const input of [$("choose"), $("shoot")])
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that the same file can be chosen again
      add(files);
    });

  return {
    photos,
    clear: () => {
      photos.forEach((photo) => photo.url && URL.revokeObjectURL(photo.url));
      photos.length = 0;
      draw();
    },
    /** Show what is known about each: a Map of photo to {taken, words}. */
    judge: (known = new Map()) => photos.forEach((photo) => judged(photo, known.get(photo))),
    /** All but those that are refused. */
    usable: () => photos.filter((photo) => photo.judgement?.taken !== false),
  };
}

/** One error about several files, [[file, error]]. */
function several(wrong) {
  const names = listed(wrong.map(([file]) => `“${file.name}”`));
  return Object.assign(new Error(`${names} cannot be used`), { hint: [...new Set(wrong.map(([, error]) => error.hint))].join("; ") });
}

function thumb(photo, at, remove) {
  const about = `Photo ${at + 1}`;
  const frame = el(
    "div",
    { class: "frame" },
    photo.url ? el("img", { src: photo.url, alt: `${about}: ${photo.name}` }) : el("span", {}, "No preview of this format here"),
    el("button", { type: "button", "aria-label": `Remove photo ${at + 1}`, on: { click: remove } }, icon("cross")),
  );
  photo.words ??= el("span", { class: "words" });
  photo.place = el("li", { class: "thumb" }, frame, el("span", { class: "file", title: photo.name }, photo.name), photo.words);
  judged(photo, photo.judgement);
  return photo.place;
}

function judged(photo, judgement) {
  photo.judgement = judgement;
  if (!photo.place) return;
  photo.place.classList.toggle("taken", judgement?.taken === true);
  photo.place.classList.toggle("refused", judgement?.taken === false);
  photo.place.querySelector(".sign")?.remove();
  photo.words.textContent = sentence(judgement?.words);
  if (judgement)
    photo.place.querySelector(".frame").append(el("span", { class: `sign tiny ${judgement.taken ? "good" : "bad"}` }, icon(judgement.taken ? "check" : "cross")));
}

/** A photo as it is sent: upright, not larger than a gate needs. What this browser cannot read is sent as it is. Raises an Error. */
async function prepared(file) {
  const wrong = (message, hint) => Object.assign(new Error(`“${file.name}” ${message}`), { hint });
  if (!file.size) throw wrong("is empty", "was the photo copied to its end?");
  if (file.size > MOST_BYTES) throw wrong(`has ${Math.round(file.size / 1e6)} MB`, "save the photo smaller: 2000 pixels a side are enough");
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    if (await isFromPhone(file)) return { blob: file, name: file.name, url: null };
    throw wrong("is not a photo that can be read", "give a JPEG, PNG, WebP or HEIC file that shows one face");
  }
  const scale = Math.min(1, LONGEST_PX / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(picture.width * scale)), Math.max(1, Math.round(picture.height * scale))];
  const paper = canvas.getContext("2d");
  paper.imageSmoothingQuality = "high";
  paper.fillStyle = "white"; // behind what is transparent
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  if (!blob) throw wrong("cannot be shrunk by this browser", "save the photo smaller: 2000 pixels a side are enough");
  return { blob, name: `${file.name.replace(/\.[^.]*$/, "")}.jpg`, url: URL.createObjectURL(blob) };
}

/** HEIC and HEIF, by the file's own bytes. */
async function isFromPhone(file) {
  const head = new TextDecoder("latin1").decode(await file.slice(4, 12).arrayBuffer());
  return head.startsWith("ftyp") && PHONES.test(head.slice(4));
}
