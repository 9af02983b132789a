// Footage: a moment is chosen on the day's strip, and the player goes on from segment to segment.

const page = document.getElementById("footage");
if (page?.dataset.camera) player();

function player() {
  const { camera, then, more, prepared, failed, codec } = page.dataset;
  const from = Number(page.dataset.from);
  const to = Number(page.dataset.to);
  const strip = document.getElementById("strip");
  const cursor = document.getElementById("cursor");
  const clock = document.getElementById("clock");
  const told = document.getElementById("told");
  const video = document.getElementById("video");
  const download = document.getElementById("download");
  /** For auditors alone. */
  const replay = document.getElementById("replay");
  /** The segment that plays, what follows it as far as it is known, and the chosen moment. */
  let playing;
  let following = [];
  let moment = Number(page.dataset.at ?? from);
  /** Counts choices: whoever was waiting for an earlier one gives up. */
  let choice = 0;

  /** Returns the time of day: the strip's own, which is that of the service's machine. */
  function timeOf(ms) {
    const second = Math.max(0, Math.floor((ms - from) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    return `${two(Math.floor(second / 3600) % 24)}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}`;
  }

  function show(ms) {
    moment = Math.min(Math.max(ms, from), to - 1);
    const share = (moment - from) / (to - from);
    cursor.style.left = `${share * 100}%`;
    clock.textContent = timeOf(moment);
    strip.setAttribute("aria-valuenow", String(Math.floor((moment - from) / 1000)));
    strip.setAttribute("aria-valuetext", clock.textContent);
  }

  function tell(text, isBad) {
    told.textContent = text;
    told.className = isBad ? "refusal" : "hint";
  }

  /** Returns the segments from a moment on, some ten minutes of them or the next there are. */
  async function segmentsFrom(ms) {
    for (const span of [600_000, to - ms]) {
      const wanted = new URLSearchParams({ from_ms: Math.floor(ms), to_ms: Math.ceil(ms + Math.max(span, 1000)), limit: 20 });
      const answer = await fetch(`/api/v1/cameras/${encodeURIComponent(camera)}/footage?${wanted}`);
      const list = await answer.json();
      if (!answer.ok) throw new Error(list.detail ?? answer.statusText);
      if (list.segments.length > 0) return list.segments;
    }
    return [];
  }

  /** Waits until the segment may be shown; returns whether it is still wanted. */
  async function ready(segment, own) {
    for (;;) {
      // One byte: whether it is there. What is hidden in it may still have to be.
      const answer = await fetch(`/api/v1/footage/${segment.id}`, { headers: { range: "bytes=0-0" }, cache: "no-store" }).catch(() => undefined);
      if (own !== choice) return false;
      if (answer?.ok) return true;
      if (answer && answer.status !== 503) {
        const problem = await answer.json().catch(() => undefined);
        throw new Error(problem?.detail ?? answer.statusText);
      }
      tell(prepared);
      await new Promise((again) => setTimeout(again, 1000 * (Number(answer?.headers.get("retry-after")) || 2)));
      if (own !== choice) return false;
    }
  }

  /** Plays a segment from a moment on. */
  async function play(segment, ms, own) {
    if (!await ready(segment, own)) return;
    playing = segment;
    if (told.textContent === prepared) tell("");
    download.href = `/api/v1/footage/${segment.id}`;
    download.hidden = false;
    if (replay) {
      replay.elements.footage.value = segment.id;
      replay.hidden = false;
    }
    const offset = Math.max(0, (ms - segment.starts_at_ms) / 1000);
    video.src = download.href;
    video.addEventListener("loadedmetadata", () => {
      if (own !== choice) return;
      if (!video.videoWidth) tell(codec, true);
      // The very end would be over at once.
      video.currentTime = Math.min(offset, Math.max(0, video.duration - 0.1));
      video.play().catch(() => {});
    }, { once: true });
    // The next one is made ready meanwhile, where something must be hidden in it.
    const next = following[0];
    if (next) fetch(`/api/v1/footage/${next.id}`, { headers: { range: "bytes=0-0" }, cache: "no-store" }).catch(() => {});
  }

  /** Goes to a moment, and plays from there. */
  async function go(ms) {
    const own = ++choice;
    show(ms);
    tell("");
    const inside = playing && moment >= playing.starts_at_ms && moment < playing.ends_at_ms && video.readyState > 0;
    if (inside) {
      video.currentTime = Math.min((moment - playing.starts_at_ms) / 1000, Math.max(0, video.duration - 0.1));
      video.play().catch(() => {});
      return;
    }
    video.pause();
    try {
      const found = await segmentsFrom(moment);
      if (own !== choice) return;
      const segment = found.shift();
      if (!segment) {
        tell(more);
        return;
      }
      following = found;
      if (segment.starts_at_ms > moment + 1000) tell(`${then} ${timeOf(segment.starts_at_ms)}`);
      await play(segment, Math.max(moment, segment.starts_at_ms), own);
    } catch (error) {
      if (own === choice) tell(`${failed} ${error.message}`, true);
    }
  }

  async function goOn() {
    const ended = playing;
    if (!ended) return;
    const own = ++choice;
    try {
      if (following.length === 0) following = (await segmentsFrom(ended.ends_at_ms)).filter((segment) => segment.starts_at_ms > ended.starts_at_ms);
      if (own !== choice) return;
      const next = following.shift();
      if (!next) {
        tell(more);
        return;
      }
      tell(next.starts_at_ms > ended.ends_at_ms + 1000 ? `${then} ${timeOf(next.starts_at_ms)}` : "");
      show(next.starts_at_ms);
      await play(next, next.starts_at_ms, own);
    } catch (error) {
      if (own === choice) tell(`${failed} ${error.message}`, true);
    }
  }

  video.addEventListener("ended", goOn);
  video.addEventListener("timeupdate", () => {
    if (playing && !video.seeking && video.readyState > 0) show(playing.starts_at_ms + video.currentTime * 1000);
  });
  video.addEventListener("error", () => { if (video.error) tell(codec, true); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move], [data-moment]");
    if (button?.dataset.move) go(moment + 1000 * Number(button.dataset.move));
    if (button?.dataset.moment) {
      // What led to it belongs to it.
      go(Number(button.dataset.moment) - 5000);
      video.scrollIntoView({ block: "center" });
    }
  });
  strip.addEventListener("click", (event) => {
    const place = strip.getBoundingClientRect();
    go(from + (event.clientX - place.left) / place.width * (to - from));
  });
  strip.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -60, ArrowRight: 60, ArrowDown: -60, ArrowUp: 60, PageUp: 3600, PageDown: -3600 };
    if (event.key in steps) show(moment + 1000 * steps[event.key]);
    else if (event.key === "Home") show(from);
    else if (event.key === "End") show(to - 1000);
    else if (event.key === "Enter") go(moment);
    else return;
    event.preventDefault();
  });
  show(moment);
  if (new URLSearchParams(location.search).has("at_ms") || document.querySelector("input[name=time]").value) go(moment);
}
