// One alarm: the clip with the track drawn over it, and what people do with it.

import { change } from "./page.js";
import { actOfKey, handle, tell } from "./handle.js";
import { listen } from "./stream.js";

const page = document.querySelector(".alarm-page");
const { id } = page.dataset;
const points = JSON.parse(document.getElementById("track-points").textContent);
const reload = () => location.reload();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act], [data-retry]");
  if (button?.dataset.act) handle(button.dataset.act, id, reload);
  if (button?.dataset.retry) {
    try {
      await change(`/api/v1/deliveries/${button.dataset.retry}/retry`);
      reload();
    } catch (error) {
      tell(error.message, "bad");
    }
  }
});
const mark = document.getElementById("mark");
mark?.addEventListener("click", async () => {
  try {
    await change("/api/v1/reviews", { alarms: [id] });
    reload();
  } catch (error) {
    tell(error.message, "bad");
  }
});

/** The alarms beside this one, and the mark, by the board's keys. */
function walk(event) {
  if (event.target.closest?.("input, textarea, select, dialog, video") || event.ctrlKey || event.metaKey || event.altKey) return;
  const way = { j: "older", k: "newer", r: "mark" }[event.key.toLowerCase()];
  if (way && !document.querySelector("dialog[open]")) document.getElementById(way)?.click();
}
document.addEventListener("keydown", walk);

document.addEventListener("keydown", (event) => {
  const act = actOfKey(event);
  if (act && page.querySelector(`[data-act=${act}]`)) {
    event.preventDefault();
    handle(act, id, reload);
  }
});

const video = document.getElementById("clip");
if (video) player(video);
if (video?.dataset.waits) prepared(video);

/** Gives the player its clip once the copy that may be shown is made. */
async function prepared(video) {
  const told = document.getElementById("clip-waits");
  for (;;) {
    // One byte: whether it is there, and not for the player's cache. Without the network it is asked again.
    const answer = await fetch(video.dataset.waits, { headers: { range: "bytes=0-0" }, cache: "no-store" }).catch(() => undefined);
    if (answer?.ok) break;
    const problem = await answer?.json().catch(() => undefined);
    const mayCome = !answer || answer.status === 503;
    if (!mayCome) {
      told.textContent = `${told.dataset.failed} ${problem?.detail ?? ""}`;
      told.className = "refusal";
      return;
    }
    await new Promise((again) => setTimeout(again, 1000 * (Number(answer?.headers.get("retry-after")) || 2)));
  }
  told.remove();
  video.src = video.dataset.waits;
}

function player(video) {
  const canvas = document.getElementById("track");
  const shown = document.getElementById("show-track");
  const failed = () => { document.getElementById("clip-failed").hidden = false; };
  // The clip's own time 0 on the stream's timeline stands in the manifest.
  let startsAtS;
  fetch(video.dataset.manifest)
    .then((answer) => answer.json())
    .then((manifest) => { startsAtS = manifest.clip?.starts_at_s; draw(); toEvent(); })
    .catch(() => {});

  function draw() {
    const wide = video.clientWidth * devicePixelRatio;
    const high = video.clientHeight * devicePixelRatio;
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, wide, high);
    if (!shown.checked || startsAtS === undefined || !video.videoWidth) return;
    const scale = wide / video.videoWidth;
    const now = startsAtS + video.currentTime;
    const past = points.filter((point) => point.at_s <= now + 0.02);
    pen.lineWidth = 2 * devicePixelRatio;
    pen.strokeStyle = "#ffd34d";
    pen.beginPath();
    past.forEach((point, index) => pen[index ? "lineTo" : "moveTo"](point.x_px * scale, point.y_px * scale));
    pen.stroke();
    const last = past.at(-1);
    if (!last || now - last.at_s > 1.5) return;
    const side = Math.max(last.width_px, last.height_px, 12) * scale + 8 * devicePixelRatio;
    pen.strokeStyle = "#ff6b5e";
    pen.strokeRect(last.x_px * scale - side / 2, last.y_px * scale - side / 2, side, side);
  }

  function follow() {
    draw();
    if (!video.paused && !video.ended) requestAnimationFrame(follow);
  }

  function toEvent() {
    if (startsAtS === undefined || points.length === 0) return;
    video.currentTime = Math.max(0, points[0].at_s - startsAtS - 0.5);
  }

  video.addEventListener("play", follow);
  for (const kind of ["seeked", "loadeddata", "timeupdate"]) video.addEventListener(kind, draw);
  video.addEventListener("error", failed);
  // Sound alone was understood: the picture is in a codec that this browser lacks.
  video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) failed(); });
  shown.addEventListener("change", draw);
  document.getElementById("to-event").addEventListener("click", toEvent);
  document.getElementById("speed").addEventListener("change", (event) => { video.playbackRate = Number(event.target.value); });
  new ResizeObserver(draw).observe(video);
}

listen(Number(page.dataset.seq), (other) => {
  if (other === id) document.getElementById("changed").hidden = false;
}, () => {}, true);
