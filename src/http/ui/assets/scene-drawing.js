// The drawing over the picture: lines, polygons, their points, and what the pointer and the keys do
// with them. Points are relative, 0 to 1; the drawing's own units are only for lines and letters.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 1600;
/** A pointer that moves less than this was a click, in the drawing's units. */
const CLICK = 8;
const LISTS = { line: "floor_lines", mask: "masks", opening: "openings", car_floor: "car_floor" };

const clamp = (value) => Math.min(1, Math.max(0, value));
const round = (value) => Math.round(clamp(value) * 1e4) / 1e4;

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export class Drawing {
  constructor(model) {
    this.model = model;
    this.svg = document.getElementById("drawing");
    this.high = 900;
    this.tool = "select";
    this.draft = undefined;
    if (!model.mayChange) return;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.take(button.dataset.tool));
    }
    this.svg.addEventListener("pointerdown", (event) => this.down(event));
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerup", (event) => this.up(event));
    this.svg.addEventListener("pointercancel", () => { this.hold = undefined; this.show(); });
    this.svg.addEventListener("chosen", () => this.show());
    new ResizeObserver(() => this.show()).observe(this.svg);
    document.addEventListener("keydown", (event) => this.key(event));
    this.take("select");
  }

  /** Takes a tool in hand. */
  take(tool) {
    this.tool = tool;
    this.draft = undefined;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    const { how } = this.model.words;
    document.getElementById("how").textContent = how[tool] ?? how.polygon;
    this.svg.classList.toggle("draws", tool !== "select");
    this.show();
  }

  /** Takes on the picture's proportions. */
  fit(width, height) {
    if (width > 0) this.high = Math.round((WIDE * height) / width);
    this.svg.setAttribute("viewBox", `0 0 ${WIDE} ${this.high}`);
    this.show();
  }

  place([x, y]) {
    return [x * WIDE, y * this.high];
  }

  /** The pointer's place on the picture, relative. */
  at(event) {
    const area = this.svg.getBoundingClientRect();
    return [round((event.clientX - area.left) / area.width), round((event.clientY - area.top) / area.height)];
  }

  /** All shapes: their list, number, points, and name. */
  shapes() {
    const { state, isFacade, words } = this.model;
    if (!isFacade) {
      return state.car_floor.length ? [{ list: "car_floor", index: 0, kind: "car_floor", points: state.car_floor, name: words.car_floor }] : [];
    }
    const polygons = (list, kind) => state[list].map((points, index) => ({ list, index, kind, points, name: `${words[kind]} ${index + 1}` }));
    const lines = state.floor_lines.map((line, index) => ({
      list: "floor_lines", index, kind: "line", points: [line.left, line.right], name: `${words.line} ${line.floor}`, floor: line.floor,
    }));
    return [...polygons("masks", "mask"), ...polygons("openings", "opening"), ...lines];
  }

  /** Letters and points keep their size on the screen, whatever the drawing's is. */
  get scale() {
    return WIDE / Math.max(this.svg.clientWidth, 200);
  }

  show() {
    this.svg.style.setProperty("--letter", `${15 * this.scale}px`);
    const focus = document.activeElement?.dataset?.point;
    const parts = this.shapes().flatMap((shape) => this.shape(shape));
    if (this.draft) parts.push(...this.draftShape());
    this.svg.replaceChildren(...parts);
    if (focus) this.svg.querySelector(`[data-point="${focus}"]`)?.focus();
  }

  isSelected(shape) {
    const { selected } = this.model;
    return selected?.list === shape.list && selected.index === shape.index;
  }

  shape(shape) {
    const places = shape.points.map((point) => this.place(point));
    const text = places.map((place) => place.join(",")).join(" ");
    const chosen = this.isSelected(shape) ? " chosen" : "";
    const key = `${shape.list}-${shape.index}`;
    const body = make(shape.kind === "line" ? "polyline" : "polygon", { points: text, class: `${shape.kind}${chosen}`, "data-shape": key });
    const parts = [body];
    if (shape.kind === "line") {
      const [x, y] = places[0];
      const label = make("text", { x: x + 6 * this.scale, y: y - 5 * this.scale, class: "label" });
      label.textContent = shape.floor;
      parts.push(label);
    }
    // Hundreds of windows would be thousands of points: theirs show once one is chosen.
    if (!this.model.mayChange || (shape.kind === "opening" && !chosen)) return parts;
    const ends = [this.model.words.left, this.model.words.right];
    places.forEach(([x, y], corner) => {
      const name = shape.kind === "line" ? ends[corner] : `${this.model.words.corner} ${corner + 1}`;
      const [relX, relY] = shape.points[corner];
      parts.push(make("circle", {
        cx: x, cy: y, r: 6 * this.scale, class: `point ${shape.kind}`, tabindex: 0, role: "button",
        "aria-label": `${shape.name}, ${name}: x ${relX}, y ${relY}`, "data-point": `${key}-${corner}`,
      }));
    });
    return parts;
  }

  draftShape() {
    const { tool, draft } = this;
    const points = draft.to ? this.spread() : [...draft.points, ...(draft.next ? [draft.next] : [])];
    const text = points.map((point) => this.place(point).join(",")).join(" ");
    const parts = [make(tool === "line" || !draft.to ? "polyline" : "polygon", { points: text, class: `${tool} draft` })];
    for (const point of draft.points) {
      const [x, y] = this.place(point);
      parts.push(make("circle", { cx: x, cy: y, r: 5 * this.scale, class: "point draft" }));
    }
    return parts;
  }

  /** What a drag makes: a line, or a rectangle. */
  spread() {
    const { from, to } = this.draft;
    if (this.tool === "line") return from[0] <= to[0] ? [from, to] : [to, from];
    const [left, right] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
    const [top, bottom] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
    return [[left, top], [right, top], [right, bottom], [left, bottom]];
  }

  find(key) {
    const [, list, index] = key.match(/^(\w+)-(\d+)/);
    return this.shapes().find((shape) => shape.list === list && shape.index === Number(index));
  }

  down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    const at = this.at(event);
    if (this.tool !== "select") {
      this.hold = { from: at };
      return;
    }
    const { point, shape } = event.target.dataset ?? {};
    const key = point ?? shape;
    this.model.selected = key ? this.find(key) : undefined;
    if (key) {
      const corner = point ? Number(point.split("-").at(-1)) : undefined;
      this.hold = { from: at, corner, before: this.model.selected.points.map((place) => [...place]), kept: false };
    }
    this.show();
    if (point) this.svg.querySelector(`[data-point="${point}"]`)?.focus();
  }

  isClick(from, to) {
    return Math.hypot((from[0] - to[0]) * WIDE, (from[1] - to[1]) * this.high) < CLICK;
  }

  move(event) {
    const at = this.at(event);
    if (!this.hold) {
      if (this.draft) { this.draft.next = at; this.show(); }
      return;
    }
    const { from, corner, before } = this.hold;
    if (this.tool !== "select") {
      if (this.isClick(from, at) || this.draft?.points.length) return;
      this.draft = { from, to: at, points: [] };
      this.show();
      return;
    }
    if (!this.hold.kept) {
      if (this.isClick(from, at)) return;
      this.model.keep();
      this.hold.kept = true;
    }
    const [x, y] = [at[0] - from[0], at[1] - from[1]];
    const points = before.map((place, index) => (
      corner === undefined || corner === index ? [round(place[0] + x), round(place[1] + y)] : place));
    this.put(this.model.selected, points);
    this.model.changed();
  }

  up(event) {
    const { hold } = this;
    this.hold = undefined;
    if (!hold || this.tool === "select") return;
    const at = this.at(event);
    if (this.draft?.to) {
      this.draft.to = at;
      const points = this.spread();
      this.draft = undefined;
      this.add(points);
    } else if (this.tool !== "line") {
      this.click(at);
    }
  }

  /** One more corner; the first one again closes the polygon. */
  click(at) {
    this.draft ??= { points: [] };
    const { points } = this.draft;
    if (points.length >= 3 && this.isClick(points[0], at)) {
      this.close();
    } else {
      points.push(at);
      this.show();
    }
  }

  close() {
    const points = this.draft?.points ?? [];
    this.draft = undefined;
    if (points.length >= 3) this.add(points);
    else this.show();
  }

  /** Puts points into their shape. */
  put(shape, points) {
    const { state } = this.model;
    if (shape.list === "floor_lines") {
      const line = state.floor_lines[shape.index];
      [line.left, line.right] = points;
    } else if (shape.list === "car_floor") {
      state.car_floor = points;
    } else {
      state[shape.list][shape.index] = points;
    }
    shape.points = points;
  }

  /** Adds a shape of the tool's kind, and chooses it. */
  add(points) {
    const { model, tool } = this;
    const list = LISTS[tool];
    model.keep();
    if (list === "car_floor") {
      model.state.car_floor = points;
    } else if (list === "floor_lines") {
      model.state.floor_lines.push({ floor: nextFloor(model.state.floor_lines, points), left: points[0], right: points[1] });
    } else {
      model.state[list].push(points);
    }
    const index = list === "car_floor" ? 0 : model.state[list].length - 1;
    model.selected = { list, index };
    model.changed();
  }

  key(event) {
    if (event.target.closest?.("input, textarea, select")) return;
    if (event.key === "Enter" && this.draft) { event.preventDefault(); this.close(); return; }
    if (event.key === "Escape" && this.draft) { this.draft = undefined; this.show(); return; }
    const { point } = event.target.dataset ?? {};
    if (!point) {
      if (event.key === "Delete" && this.model.selected) { event.preventDefault(); this.remove(this.model.selected); }
      return;
    }
    const shape = this.find(point);
    if (event.key === "Delete") { event.preventDefault(); this.remove(shape); return; }
    const far = event.shiftKey ? 0.02 : 0.002;
    const step = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
    if (!step) return;
    event.preventDefault();
    const corner = Number(point.split("-").at(-1));
    this.model.keep();
    const points = shape.points.map((place, index) => (index === corner ? [round(place[0] + step[0]), round(place[1] + step[1])] : place));
    this.put(shape, points);
    this.model.changed();
  }

  remove(shape) {
    const { model } = this;
    model.keep();
    if (shape.list === "car_floor") model.state.car_floor = [];
    else model.state[shape.list].splice(shape.index, 1);
    model.selected = undefined;
    model.changed();
  }
}

/** The floor that a new line is likely meant for: by the spacing of the others, else one above. */
function nextFloor(lines, [left, right]) {
  const middle = (line) => (line.left[1] + line.right[1]) / 2;
  const at = (left[1] + right[1]) / 2;
  const known = [...lines].sort((a, b) => a.floor - b.floor);
  if (known.length < 2) return known.length === 0 ? 3 : known[0].floor + (at < middle(known[0]) ? 1 : -1);
  // Between the two lines around it, or beyond the last two.
  let upper = known.findIndex((line) => middle(line) <= at);
  if (upper < 0) upper = known.length - 1;
  upper = Math.max(1, upper);
  const [low, high] = [known[upper - 1], known[upper]];
  const share = (middle(low) - at) / (middle(low) - middle(high));
  return Math.max(1, Math.round(low.floor + share * (high.floor - low.floor)));
}
