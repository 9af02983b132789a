// The scene of one camera: what is drawn, its history, what the service says of it, and saving it.
// The service judges and measures; here is only the drawing.

import { clockText } from "./page.js";
import { Drawing } from "./scene-drawing.js";
import { Fields } from "./scene-fields.js";

const root = document.getElementById("scene");
const words = JSON.parse(document.getElementById("words").textContent);
const path = `/api/v1/cameras/${root.dataset.camera}/scene`;
const isFacade = root.dataset.kind === "facade";
const mayChange = "mayChange" in root.dataset;
const message = document.getElementById("message");
const HISTORY_MAX = 200;

/** The scene with every list there is, so that nothing asks whether it is there. */
function whole(scene) {
  if (!isFacade) return { car_floor: scene.elevator?.car_floor ?? [] };
  const facade = scene.facade ?? { floors: 20, storey_height_m: 3 };
  return { floor_lines: [], masks: [], openings: [], ...facade };
}

/** The scene as the service takes it: without anything drawn there is none. */
function asFile(state) {
  if (!isFacade) return state.car_floor.length ? { elevator: state } : {};
  return { facade: state };
}

const model = {
  state: whole({}),
  words,
  isFacade,
  mayChange,
  /** The shape in hand: `{ list, index }`. */
  selected: undefined,
  past: [],
  future: [],
  saved: "",
  etag: "",

  /** Remembers the state before a change that is to come. */
  keep() {
    this.past.push(JSON.stringify(this.state));
    if (this.past.length > HISTORY_MAX) this.past.shift();
    this.future = [];
  },

  /** Shows the state after a change, and asks what it is worth. */
  changed(from) {
    drawing.show();
    if (from !== "field") fields.show();
    standing();
    ask();
  },

  step(back) {
    const [from, to] = back ? [this.past, this.future] : [this.future, this.past];
    if (from.length === 0) return;
    to.push(JSON.stringify(this.state));
    this.state = JSON.parse(from.pop());
    this.selected = undefined;
    this.changed();
  },

  isSaved() {
    return JSON.stringify(this.state) === this.saved;
  },
};

const drawing = new Drawing(model);
const fields = new Fields(model);

function standing() {
  if (!mayChange) return;
  document.getElementById("undo").disabled = model.past.length === 0;
  document.getElementById("redo").disabled = model.future.length === 0;
  document.getElementById("save").disabled = model.isSaved();
  document.getElementById("standing").textContent = model.isSaved() ? words.unchanged : words.unsaved;
}

function tell(text, tone) {
  message.textContent = text;
  message.className = tone;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { message.textContent = ""; message.className = ""; }, 8000);
}

async function send(method, to, headers) {
  const answer = await fetch(to, {
    method,
    headers: {
      "content-type": "application/json",
      "x-csrf-token": document.querySelector("meta[name=csrf]").content,
      ...headers,
    },
    body: JSON.stringify(asFile(model.state)),
  });
  if (answer.status === 401) location.assign("/sign-in");
  const json = await answer.json().catch(() => ({}));
  return { answer, json };
}

let asked = 0;
/** Asks what the drawing covers, or what is wrong with it, once the hand rests. */
function ask() {
  if (!mayChange) return;
  clearTimeout(ask.timer);
  ask.timer = setTimeout(async () => {
    const turn = ++asked;
    const { answer, json } = await send("POST", `${path}/check`).catch(() => ({}));
    if (turn !== asked || !answer) return;
    show(answer.ok ? told(json.problem) : { key: json.key, text: json.detail }, json.coverage);
  }, 150);
}

/** The service's judgement in the reader's words. */
function told(problem) {
  if (!problem) return undefined;
  const text = words.reasons[problem.reason];
  return { key: problem.key, text: text ? fill(text, ...problem.values) : problem.problem };
}

function fill(text, ...values) {
  return values.reduce((filled, value) => filled.replace("{}", value), text);
}

function line(text, kind) {
  const item = document.createElement("p");
  item.textContent = text;
  if (kind) item.className = kind;
  return item;
}

function show(problem, coverage) {
  const refusal = document.getElementById("problem");
  if (refusal) {
    refusal.hidden = !problem;
    refusal.textContent = problem ? `${fields.nameOf(problem.key)}: ${problem.text}` : "";
  }
  fields.mark(problem?.key);
  if (coverage) document.getElementById("coverage").replaceChildren(...covered(coverage));
}

/** What is covered, in sentences. */
function covered(coverage) {
  if (!isFacade) {
    const share = Math.round(coverage.car_floor_share * 100);
    return [line(share ? fill(words.coverage.car, share) : words.coverage.no_car)];
  }
  const items = [];
  for (const [from, to] of runs(coverage.floors.filter((floor) => floor.watched >= 0.9))) {
    items.push(line(fill(words.coverage.floors, from, to), "state good"));
  }
  if (items.length === 0) items.push(line(words.coverage.none, "state bad"));
  if (coverage.floors.length === 0) return [...items, line(words.gap.no_floor_lines)];
  items.push(line(coverage.openings
    ? fill(words.coverage.openings, coverage.openings_watched, coverage.openings)
    : words.coverage.no_openings));
  for (const gap of coverage.gaps) {
    const floors = gap.from_floor === gap.to_floor
      ? fill(words.coverage.gap_floor, gap.from_floor)
      : fill(words.coverage.gap_floors, gap.from_floor, gap.to_floor);
    const openings = gap.openings.map((index) => `${words.opening} ${index + 1}`).join(", ");
    items.push(line(`${floors}: ${words.gap[gap.reason]}${openings ? ` (${openings})` : ""}`, "state warn"));
  }
  if (coverage.gaps.length === 0) items.push(line(words.coverage.no_gaps, "state good"));
  return items;
}

/** Floors in a row, as pairs of the lowest and the highest. */
function runs(floors) {
  const found = [];
  for (const { floor } of floors) {
    if (found.at(-1)?.[1] === floor - 1) found.at(-1)[1] = floor;
    else found.push([floor, floor]);
  }
  return found;
}

function taken(answer, json) {
  model.etag = answer.headers.get("etag");
  model.state = whole(json.scene);
  model.saved = JSON.stringify(model.state);
  document.getElementById("changed-by").textContent = json.changed_by_name ?? "–";
  document.getElementById("changed-at").textContent = json.changed_at_ms ? clockText(json.changed_at_ms) : "";
  show(undefined, json.coverage);
  drawing.show();
  fields.show();
  standing();
  root.dataset.sha256 = json.sha256 ?? "";
}

async function load() {
  const answer = await fetch(path);
  if (answer.ok) taken(answer, await answer.json());
}

async function save() {
  const { answer, json } = await send("PUT", path, { "if-match": model.etag }).catch(() => ({}));
  if (answer?.ok) {
    taken(answer, json);
    tell(words.saved, "good");
  } else {
    // What is wrong with the drawing is asked for, which tells it in the reader's words.
    if (json?.key) ask();
    const kind = json?.type?.split(":").at(-1);
    const why = words.refusals[kind] ?? (kind === "bad-scene" ? "" : json?.detail ?? "");
    tell([words.failed, why].filter(Boolean).join(": "), "bad");
  }
}

async function picture() {
  const shown = document.getElementById("picture");
  const answer = await fetch(`${path}.jpg`).catch(() => undefined);
  document.getElementById("no-picture").hidden = answer?.ok === true;
  shown.classList.toggle("none", !answer?.ok);
  if (!answer?.ok) return;
  const old = shown.src;
  shown.src = URL.createObjectURL(await answer.blob());
  if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  await shown.decode().catch(() => {});
  drawing.fit(shown.naturalWidth, shown.naturalHeight);
}

if (mayChange) {
  document.getElementById("undo").addEventListener("click", () => model.step(true));
  document.getElementById("redo").addEventListener("click", () => model.step(false));
  document.getElementById("save").addEventListener("click", save);
  document.getElementById("new-picture").addEventListener("click", picture);
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches?.("input")) return;
    event.preventDefault();
    model.step(!event.shiftKey);
  });
  addEventListener("beforeunload", (event) => { if (!model.isSaved()) event.preventDefault(); });
}

load();
picture();
