// What people do with an alarm: acknowledge, close, assign, note; by mouse and by keyboard. The
// board and the alarm page share it.

import { change } from "./page.js";

const message = document.getElementById("message");

/** Tells the reader, and screen readers, what came of it. */
export function tell(text, tone) {
  message.textContent = text;
  message.className = tone;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { message.textContent = ""; message.className = ""; }, 8000);
}

/** Opens the dialog; returns its form's values when it was meant, else nothing. */
function ask(dialog) {
  const form = dialog.querySelector("form");
  form.reset();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "do" ? Object.fromEntries(new FormData(form)) : undefined);
    }, { once: true });
  });
}

async function send(act, id) {
  const path = `/api/v1/alarms/${id}`;
  if (act === "acknowledge") return change(`${path}/acknowledge`);
  const dialog = document.getElementById(`${act}-dialog`);
  const given = await ask(dialog);
  if (given === undefined) return undefined;
  if (act === "close") {
    return change(`${path}/close`, { disposition: given.disposition, note: given.note || null });
  }
  if (act === "export") {
    return change("/api/v1/exports", { reason: given.reason, treatment: given.treatment, scope: { alarms: [id] } });
  }
  if (act === "hold" || act === "release") return change(`${path}/${act}`, { reason: given.reason });
  return act === "note"
    ? change(`${path}/notes`, { text: given.text })
    : change(`${path}/assign`, { to: given.to });
}

/** Does `act` to the alarm; calls `after` with its id when something was done or was different. */
export async function handle(act, id, after) {
  try {
    if ((await send(act, id)) === undefined) return;
    tell(message.dataset.done, "good");
    after(id);
  } catch (error) {
    const holder = error.problem?.holder_name;
    tell(holder ? message.dataset.taken.replace("{}", holder)
      : `${message.dataset.failed}: ${error.message}`, "bad");
    after(id);
  }
}

/** Returns what a key stands for, when no field has the focus and no dialog is open. */
export function actOfKey(event) {
  const within = event.target.closest?.("input, textarea, select, dialog");
  if (within || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return undefined;
  return { a: "acknowledge", c: "close", s: "assign", n: "note" }[event.key.toLowerCase()];
}
