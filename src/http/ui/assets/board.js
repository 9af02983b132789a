// The live board: unacknowledged alarms first and always in sight, those in somebody's hands beside
// them. Each card is made by the service; here it only finds its place.

import { showTimes } from "./page.js";
import { actOfKey, handle } from "./handle.js";
import { Sound } from "./sound.js";
import { listen } from "./stream.js";

const board = document.getElementById("board");
const lists = { raised: document.getElementById("raised"), acknowledged: document.getElementById("taken") };
const cards = () => [...board.querySelectorAll("article.alarm")];
const isShelved = (card) => card.dataset.shelved === "true" && card.dataset.state === "raised";
const isEvent = (card) => !card.classList.contains("fault");

/** Real events before camera faults, newer before older. */
function comesBefore(one, other) {
  if (isEvent(one) !== isEvent(other)) return isEvent(one);
  return Number(one.dataset.at) > Number(other.dataset.at);
}

function place(card) {
  const list = lists[card.dataset.state];
  // What is shelved is not announced; the strip above says that there is something.
  if (!list || isShelved(card)) return;
  const next = [...list.children].find((other) => comesBefore(card, other));
  list.insertBefore(card, next ?? null);
}

function watchPictures(root) {
  for (const picture of root.querySelectorAll(".shot img")) {
    picture.addEventListener("error", () => picture.classList.add("none"));
    if (picture.complete && picture.naturalWidth === 0) picture.classList.add("none");
  }
}

function count() {
  for (const [list, name] of [[lists.raised, "raised"], [lists.acknowledged, "taken"]]) {
    const more = name in board.dataset ? "+" : "";
    document.getElementById(`${name}-count`).textContent = `${list.children.length}${more}`;
    document.getElementById(`${name}-empty`).hidden = list.children.length > 0;
  }
  const open = [...lists.raised.children].filter(isEvent).length;
  document.title = (open ? `(${open}) ` : "") + `${board.dataset.title} · Plumb`;
}

/** Alarms whose cards could not be loaded: each is tried again, or it would be missing. */
const owed = new Set();
const AGAIN_MS = 2000;

/** Loads the alarm's card anew and puts it where it belongs. */
async function refresh(id) {
  const answer = await fetch(`/board/alarms/${id}`).catch(() => undefined);
  // Gone, or nobody is signed in any more: the stream says so.
  const isFinal = answer?.redirected || (answer?.status >= 400 && answer.status < 500 && answer.status !== 429);
  if (!answer?.ok && !isFinal) {
    owed.add(id);
    return;
  }
  owed.delete(id);
  if (!answer.ok || answer.redirected) return;
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  const card = holder.content.querySelector("article");
  const old = document.getElementById(`alarm-${id}`);
  const focused = old?.contains(document.activeElement);
  const isNew = !old && card.dataset.state === "raised" && !isShelved(card);
  old?.remove();
  showTimes(card);
  watchPictures(card);
  place(card);
  if (focused && card.isConnected) card.focus();
  if (focused && !card.isConnected) cards()[0]?.focus();
  if (isNew) {
    card.classList.add("new");
    if (isEvent(card)) sound.tick();
  }
  ages();
  count();
  if (isShelved(card)) await refreshShelves();
}

/** Loads anew what is shelved, and how many alarms that holds back. */
async function refreshShelves() {
  const answer = await fetch("/board/shelves").catch(() => undefined);
  if (!answer?.ok || answer.redirected) return;
  const strip = document.getElementById("shelves");
  strip.innerHTML = await answer.text();
  showTimes(strip);
}

function ages() {
  const { ago } = board.dataset;
  const units = board.dataset.units.split("|");
  for (const age of board.querySelectorAll("[data-age]")) {
    const s = Math.max(0, Math.round((Date.now() - Number(age.dataset.age)) / 1000));
    const [count, unit] = s < 60 ? [s, 0] : s < 3600 ? [s / 60, 1] : s < 172800 ? [s / 3600, 2] : [s / 86400, 3];
    const text = `${Math.floor(count)}${units[unit]}`;
    age.textContent = ago.replace("{}", text);
  }
}

const link = document.getElementById("link");
function show(state) {
  link.textContent = link.dataset[state];
  link.className = `state ${state === "live" ? "good" : "bad"}`;
  if (state === "out") {
    const way = document.createElement("a");
    way.href = "/sign-in";
    way.textContent = " →";
    link.append(way);
  }
}

board.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) handle(button.dataset.act, button.closest("article").dataset.id, refresh);
});

document.addEventListener("keydown", (event) => {
  const act = actOfKey(event);
  const card = document.activeElement?.closest?.("article.alarm");
  if (act) {
    const first = card ?? cards()[0];
    if (first?.querySelector(`[data-act=${act}]`)) {
      event.preventDefault();
      handle(act, first.dataset.id, refresh);
    }
    return;
  }
  if (event.target.closest?.("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = cards();
  const at = all.indexOf(card);
  if (event.key === "j") all[Math.min(at + 1, all.length - 1)]?.focus();
  if (event.key === "k") all[Math.max(at - 1, 0)]?.focus();
  if (event.key === "m") sound.press();
  if (event.key === "Enter" && card === event.target) card.querySelector("h3 a").click();
});

const keys = document.getElementById("keys");
keys.addEventListener("click", () => {
  const list = document.getElementById("keys-list");
  list.hidden = !list.hidden;
  keys.setAttribute("aria-expanded", String(!list.hidden));
});

const sound = new Sound(document.getElementById("sound"), () => [...lists.raised.children].some(isEvent));
watchPictures(board);
ages();
count();
setInterval(ages, 1000);
let turn = Promise.resolve();
setInterval(() => {
  for (const id of owed) turn = turn.then(() => (owed.has(id) ? refresh(id) : undefined));
}, AGAIN_MS);
// One after the other: two events of one alarm must not overtake each other.
listen(Number(board.dataset.seq), (id, kind) => {
  turn = turn.then(() => (kind.startsWith("shelf.") ? refreshShelves() : refresh(id)));
}, show);
