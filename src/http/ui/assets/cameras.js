// Cameras: a picture of each, new every few seconds while somebody looks, and dead letters to be
// sent again.

import { change } from "./page.js";

const EVERY_MS = 5000;
const message = document.getElementById("message");

async function load(picture) {
  const answer = await fetch(picture.dataset.picture).catch(() => undefined);
  picture.classList.toggle("none", !answer?.ok);
  if (!answer?.ok) return;
  const old = picture.src;
  picture.src = URL.createObjectURL(await answer.blob());
  if (old.startsWith("blob:")) URL.revokeObjectURL(old);
}

/** One after the other, so that many cameras do not ask at once. */
async function loadAll() {
  for (const picture of document.querySelectorAll("[data-picture]")) {
    if (!document.hidden) await load(picture);
  }
  setTimeout(loadAll, EVERY_MS);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-retry]");
  if (!button) return;
  try {
    await change(`/api/v1/deliveries/${button.dataset.retry}/retry`);
    button.closest("tr").remove();
    message.textContent = message.dataset.done;
    message.className = "good";
  } catch (error) {
    message.textContent = `${message.dataset.failed}: ${error.message}`;
    message.className = "bad";
  }
});

loadAll();
