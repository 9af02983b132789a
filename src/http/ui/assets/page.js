// What every page needs: times in the reader's own zone, and changes that carry the CSRF text.

/** Returns a moment as "2026-01-31 18:00:05" in the reader's zone. */
export function clockText(ms) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `
    + `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Writes each <time data-ms> below `root` in the reader's zone. */
export function showTimes(root) {
  for (const time of root.querySelectorAll("time[data-ms]")) {
    time.textContent = clockText(Number(time.dataset.ms));
  }
}

/** Asks the service for a change. Returns the answer's JSON; throws an Error with its problem. */
export async function change(path, body) {
  const headers = { "x-csrf-token": document.querySelector("meta[name=csrf]").content };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, {
    method: "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) location.assign("/sign-in");
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(json.detail ?? answer.statusText), { problem: json });
  return json;
}

// Where the pages stand in one row, the one that is open may be out of sight.
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
showTimes(document);
