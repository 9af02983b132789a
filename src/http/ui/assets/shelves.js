// Shelving: alarms of a camera or of a kind are not announced for a time.

import { change } from "./page.js";

const message = document.getElementById("message");

async function ask(path, body) {
  try {
    await change(path, body);
    location.reload();
  } catch (error) {
    message.textContent = `${message.dataset.failed}: ${error.message}`;
    message.className = "bad";
  }
}

document.getElementById("shelve")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.target));
  ask("/api/v1/shelves", {
    camera: given.camera || null,
    kind: given.kind || null,
    minutes: Number(given.minutes),
    reason: given.reason,
  });
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-end]");
  if (button) ask(`/api/v1/shelves/${button.dataset.end}/end`);
});
