// Exports: asks for one, decides on another's.

import { change, showTimes } from "./page.js";

const message = document.getElementById("message");
const form = document.getElementById("ask");

async function attempt(path, body) {
  try {
    await change(path, body);
    location.reload();
  } catch (error) {
    message.textContent = `${message.dataset.failed}: ${error.message}`;
    message.className = "bad";
  }
}

/** Returns a moment as a field for it takes it, in the reader's zone. */
function fieldText(at) {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

if (form) {
  const now = new Date();
  form.elements.to.value ||= fieldText(new Date(now.getTime() + 60000));
  form.elements.from.value ||= fieldText(new Date(now.getTime() - 86400000));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    attempt("/api/v1/exports", {
      reason: given.reason,
      treatment: given.treatment,
      days: Number(given.days),
      scope: { [given.what]: { camera: given.camera, from_ms: Date.parse(given.from), to_ms: Date.parse(given.to) } },
    });
  });
}

/** Shows anew what the tickets are, as long as a bundle is being made; what is being typed stays. */
async function follow() {
  const table = document.querySelector("table");
  if (!table?.querySelector("[data-making]")) return;
  const answer = await fetch(location.href).catch(() => null);
  if (answer?.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("table");
    if (fresh) {
      showTimes(fresh);
      table.replaceWith(fresh);
    }
  }
  setTimeout(follow, 2000);
}

setTimeout(follow, 1000);

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-decide]");
  if (!button) return;
  const { ticket } = button.closest("tr").dataset;
  attempt(`/api/v1/exports/${ticket}/${button.dataset.decide}`, {});
});
