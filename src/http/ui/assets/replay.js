// One replay: how far it is while it runs, and its page anew when it is over.

import { change } from "./page.js";

const EVERY_MS = 500;
const replay = document.getElementById("replay");
const message = document.getElementById("message");
const path = `/api/v1/replays/${replay.dataset.id}`;

async function look() {
  const answer = await fetch(path).catch(() => undefined);
  if (answer?.ok) {
    const { state, progress } = await answer.json();
    if (state !== "running") return location.reload();
    document.getElementById("progress").value = (progress ?? 0) * 100;
  }
  return setTimeout(look, EVERY_MS);
}

document.getElementById("cancel")?.addEventListener("click", async () => {
  try {
    await change(`${path}/cancel`);
  } catch (error) {
    message.textContent = `${message.dataset.failed}: ${error.message}`;
    message.className = "bad";
  }
});

if ("running" in replay.dataset) look();
