// The camera wall: a picture a second of each camera, live video of those that somebody wants to see,
// and how they are.

import { Live } from "./live.js";
import { showTimes } from "./page.js";

const EVERY_MS = 1000;
const FACTS_MS = 2000;
/** Pictures under way at a time: a browser has six connections, and the board needs one. */
const AT_ONCE = 3;
/** Live videos at a time: each is decoded here. */
const LIVE_MAX = 4;

const wall = document.getElementById("wall");
const tiles = [...wall.querySelectorAll("[data-camera]")];
/** By tile, in the order in which they were begun. */
const lives = new Map();

async function load(tile) {
  const picture = tile.querySelector("img");
  const answer = await fetch(picture.dataset.picture).catch(() => undefined);
  picture.classList.toggle("none", !answer?.ok);
  if (!answer?.ok) return;
  const old = picture.src;
  picture.src = URL.createObjectURL(await answer.blob());
  if (old.startsWith("blob:")) URL.revokeObjectURL(old);
}

/** Loads every picture that is in sight and not live, and begins again a second after it began. */
async function loadAll() {
  const began = Date.now();
  const isInSight = (tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };
  const wanted = document.hidden ? [] : tiles.filter((tile) => !lives.has(tile) && isInSight(tile));
  const worker = async () => {
    for (let tile = wanted.shift(); tile; tile = wanted.shift()) await load(tile);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  setTimeout(loadAll, Math.max(0, began + EVERY_MS - Date.now()));
}

async function loadFacts() {
  const answer = document.hidden ? undefined : await fetch("/wall/facts").catch(() => undefined);
  if (answer?.status === 200 && answer.redirected) location.reload();
  if (answer?.ok) {
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    for (const facts of holder.content.querySelectorAll("[data-facts]")) put(facts);
  }
  setTimeout(loadFacts, FACTS_MS);
}

function put(facts) {
  const tile = tiles.find((known) => known.dataset.camera === facts.dataset.facts);
  const old = tile?.querySelector("[data-facts]");
  // Somebody is about to follow a link in it.
  if (!old || old.contains(document.activeElement)) return;
  showTimes(facts);
  old.replaceWith(facts);
  tile.className = `card camera ${facts.dataset.tone}`;
  const mayWatch = facts.dataset.live === "true";
  if (!mayWatch && lives.has(tile)) end(tile);
  tile.querySelector("[data-watch]").hidden = !mayWatch;
}

function begin(tile) {
  if (lives.size >= LIVE_MAX) end(lives.keys().next().value);
  const [video, picture] = [tile.querySelector("video"), tile.querySelector("img")];
  const latency = tile.querySelector(".latency");
  const live = new Live(video, tile.dataset.camera, (state) => {
    video.hidden = state !== "plays";
    picture.hidden = state === "plays";
    if (state === "refused" || state === "full") {
      end(tile);
      latency.textContent = wall.dataset[state];
    }
    else if (state !== "plays") latency.textContent = state === "away" ? wall.dataset.away : wall.dataset.waits;
  });
  lives.set(tile, live);
  show(tile, true);
}

function end(tile) {
  const live = lives.get(tile);
  lives.delete(tile);
  live?.stop();
  tile.querySelector("video").hidden = true;
  tile.querySelector("img").hidden = false;
  tile.querySelector(".latency").textContent = "";
  show(tile, false);
}

function show(tile, isLive) {
  const button = tile.querySelector("[data-watch]");
  button.textContent = isLive ? wall.dataset.still : wall.dataset.live;
  button.setAttribute("aria-pressed", String(isLive));
}

wall.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-watch]")?.closest("[data-camera]");
  if (!tile) return;
  if (lives.has(tile)) end(tile);
  else begin(tile);
});

setInterval(() => {
  for (const [tile, live] of lives) {
    const latency = live.latencyS();
    if (latency === undefined || tile.querySelector("video").hidden) continue;
    tile.dataset.latencyS = latency.toFixed(2);
    tile.querySelector(".latency").textContent = wall.dataset.latency.replace("{}", Math.max(0, latency).toFixed(1));
  }
}, 500);

loadAll();
loadFacts();
