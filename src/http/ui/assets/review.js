// The review: a picture of the alarm that is pointed at or in focus, and the marks of the reader.

import { change } from "./page.js";

/** Only a pointer that rests asks for a picture: each look at evidence is written down. */
const REST_MS = 250;
const preview = document.getElementById("preview");
const picture = preview.querySelector("img");
const message = document.getElementById("message");
let waits;

function hide() {
  clearTimeout(waits);
  preview.hidden = true;
}

function show(link) {
  clearTimeout(waits);
  waits = setTimeout(() => {
    picture.src = link.dataset.preview;
    const row = link.closest("tr").getBoundingClientRect();
    const below = row.bottom + 260 < innerHeight;
    preview.style.top = `${below ? row.bottom + 4 : Math.max(4, row.top - 260)}px`;
    preview.style.left = `${Math.min(Math.max(4, row.left + 180), Math.max(4, innerWidth - 430))}px`;
    picture.onload = () => { picture.classList.remove("none"); preview.hidden = false; };
    picture.onerror = hide;
  }, REST_MS);
}

for (const row of document.querySelectorAll("tr[data-id]")) {
  const link = row.querySelector("[data-preview]");
  row.addEventListener("pointerenter", () => show(link));
  row.addEventListener("pointerleave", hide);
  link.addEventListener("focus", () => show(link));
  link.addEventListener("blur", hide);
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
addEventListener("scroll", hide, { passive: true });

/** Shows how many are left, in the navigation. */
function left(count) {
  const badge = document.getElementById("unreviewed");
  if (!badge) return;
  badge.textContent = count;
  badge.hidden = count === 0;
}

async function mark(rows) {
  try {
    const answer = await change("/api/v1/reviews", { alarms: rows.map((row) => row.dataset.id) });
    for (const row of rows) {
      row.classList.remove("open");
      const done = document.createElement("span");
      done.className = "state closed";
      done.textContent = message.dataset.done;
      row.querySelector("[data-mark]")?.replaceWith(done);
    }
    left(answer.unreviewed);
  } catch (error) {
    message.textContent = `${message.dataset.failed}: ${error.message}`;
    message.className = "bad";
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-mark]");
  if (button) mark([button.closest("tr")]);
  if (event.target.id === "mark-all") mark([...document.querySelectorAll("tr.open")]);
});
