// The drawing as numbers: every point in a field of its own, for the keyboard and for exact places.

const LISTS = [["floor_lines", "line"], ["masks", "mask"], ["openings", "opening"]];

function element(name, attributes, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

export class Fields {
  constructor(model) {
    this.model = model;
    this.lists = document.getElementById("lists");
    this.open = new Set();
    if (!model.isFacade) return;
    this.floors = document.getElementById("floors");
    this.storey = document.getElementById("storey");
    this.floors.addEventListener("change", () => this.set(() => { model.state.floors = Number(this.floors.value); }));
    this.storey.addEventListener("change", () => this.set(() => { model.state.storey_height_m = Number(this.storey.value); }));
  }

  /** Makes a change that a field asks for. */
  set(change) {
    this.model.keep();
    change();
    this.model.changed("field");
  }

  show() {
    const { state, isFacade, words } = this.model;
    if (!isFacade) {
      this.lists.replaceChildren(this.section("car_floor", words.car_floor, state.car_floor.length ? [this.polygon("car_floor", 0, state.car_floor, words.car_floor)] : []));
      return;
    }
    this.floors.value = state.floors;
    this.storey.value = state.storey_height_m;
    this.lists.replaceChildren(...LISTS.map(([list, kind]) => {
      const rows = state[list].map((item, index) => (kind === "line"
        ? this.line(item, index)
        : this.polygon(list, index, item, `${words[kind]} ${index + 1}`)));
      return this.section(list, words[kind], rows);
    }));
  }

  section(list, name, rows) {
    const { mayChange, words } = this.model;
    const made = element("details", { open: !this.open.has(`closed-${list}`) });
    made.dataset.list = list;
    made.addEventListener("toggle", () => this.open[made.open ? "delete" : "add"](`closed-${list}`));
    made.append(element("summary", {}, `${name} `, element("span", { className: "count", textContent: rows.length })));
    made.append(...rows);
    if (mayChange && !(list === "car_floor" && rows.length)) {
      const add = element("button", { textContent: `${words.add}: ${name}` });
      add.dataset.add = list;
      add.addEventListener("click", () => this.add(list));
      made.append(add);
    }
    return made;
  }

  /** Adds a shape in the middle, to be moved by its numbers. */
  add(list) {
    const { model } = this;
    const square = [[0.45, 0.45], [0.55, 0.45], [0.55, 0.55], [0.45, 0.55]];
    model.keep();
    if (list === "car_floor") model.state.car_floor = square;
    else if (list === "floor_lines") {
      const highest = model.state.floor_lines.reduce((most, line) => Math.max(most, line.floor), 2);
      model.state.floor_lines.push({ floor: highest + 1, left: [0.3, 0.5], right: [0.7, 0.5] });
    } else model.state[list].push(square);
    const index = list === "car_floor" ? 0 : model.state[list].length - 1;
    model.selected = { list, index };
    this.open.add(`${list}-${index}`);
    model.changed();
    this.lists.querySelector(`[data-key^="${list}-${index}-"]`)?.focus();
  }

  number(label, key, value, attributes, take) {
    const field = element("input", { type: "number", value, required: true, readOnly: !this.model.mayChange, ...attributes });
    field.dataset.key = key;
    field.addEventListener("change", () => {
      if (field.value !== "") this.set(() => take(Number(field.value)));
    });
    field.addEventListener("focus", () => this.select(key));
    return element("label", {}, label, field);
  }

  select(key) {
    const [, list, index] = key.match(/^(\w+)-(\d+)/);
    const { selected } = this.model;
    if (selected?.list === list && selected.index === Number(index)) return;
    this.model.selected = { list, index: Number(index) };
    document.getElementById("drawing").dispatchEvent(new CustomEvent("chosen"));
  }

  relative(label, key, point, axis) {
    return this.number(`${label} ${"xy"[axis]}`, `${key}-${"xy"[axis]}`, point[axis], { min: 0, max: 1, step: 0.001 }, (value) => { point[axis] = value; });
  }

  remove(list, index, name) {
    const { model } = this;
    const button = element("button", { textContent: model.words.remove, ariaLabel: `${model.words.remove}: ${name}` });
    button.addEventListener("click", () => {
      model.keep();
      if (list === "car_floor") model.state.car_floor = [];
      else model.state[list].splice(index, 1);
      model.selected = undefined;
      model.changed();
    });
    return button;
  }

  line(line, index) {
    const { words, mayChange } = this.model;
    const key = `floor_lines-${index}`;
    const row = element("fieldset", { className: "points" });
    row.dataset.row = key;
    row.append(
      element("legend", { textContent: `${words.line} ${index + 1}` }),
      this.number(words.floor, `${key}-floor`, line.floor, { min: 1, max: 201, step: 1 }, (value) => { line.floor = value; }),
      this.relative(words.left, `${key}-left`, line.left, 0), this.relative(words.left, `${key}-left`, line.left, 1),
      this.relative(words.right, `${key}-right`, line.right, 0), this.relative(words.right, `${key}-right`, line.right, 1),
    );
    if (mayChange) row.append(this.remove("floor_lines", index, `${words.line} ${line.floor}`));
    return row;
  }

  polygon(list, index, points, name) {
    const { model } = this;
    const key = `${list}-${index}`;
    const chosen = model.selected?.list === list && model.selected.index === index;
    const row = element("details", { className: "points", open: chosen || this.open.has(key) });
    row.dataset.row = key;
    row.append(element("summary", { textContent: `${name} · ${points.length}` }));
    const fill = () => {
      if (row.childElementCount > 1) return;
      points.forEach((point, corner) => row.append(element("div", { className: "pair" },
        this.relative(`${model.words.corner} ${corner + 1}`, `${key}-${corner}`, point, 0),
        this.relative(`${model.words.corner} ${corner + 1}`, `${key}-${corner}`, point, 1))));
      if (!model.mayChange) return;
      const acts = element("div", { className: "acts" }, this.corner(points, name), this.remove(list, index, name));
      if (list === "openings") acts.append(this.repeat(points));
      row.append(acts);
    };
    row.addEventListener("toggle", () => {
      this.open[row.open ? "add" : "delete"](key);
      if (row.open) fill();
    });
    if (row.open) fill();
    return row;
  }

  /** One more corner, between the last and the first. */
  corner(points, name) {
    const { model } = this;
    const label = `${model.words.add}: ${model.words.corner}`;
    const button = element("button", { textContent: label, ariaLabel: `${name}, ${label}` });
    button.addEventListener("click", () => {
      model.keep();
      const [first, last] = [points[0], points.at(-1)];
      points.push([(first[0] + last[0]) / 2, (first[1] + last[1]) / 2]);
      model.changed();
    });
    return button;
  }

  /** The same opening on every other floor from 3 up, as far as the picture goes. */
  repeat(points) {
    const { model } = this;
    const button = element("button", { textContent: model.words.repeat, disabled: model.state.floor_lines.length < 2 });
    button.addEventListener("click", () => {
      const { state } = model;
      const facade = new Plane(state.floor_lines);
      const places = points.map((point) => facade.locate(point));
      const floor = Math.floor(places.reduce((sum, place) => sum + place.level, 0) / places.length);
      model.keep();
      for (let other = 3; other <= state.floors; other += 1) {
        const copy = places.map(({ across, level }) => facade.place(across, level + other - floor));
        const inside = copy.every((place) => place.every((value) => value >= 0 && value <= 1));
        if (other !== floor && inside) state.openings.push(copy.map((place) => place.map((value) => Math.round(value * 1e4) / 1e4)));
      }
      model.changed();
    });
    return button;
  }

  /** Names what a key of the scene file stands for, in the reader's words. */
  nameOf(key = "") {
    const { words } = this.model;
    const kind = { floor_lines: "line", masks: "mask", openings: "opening" };
    const found = key.match(/^facade\.(\w+)\[(\d+)\]/);
    if (found) return `${words[kind[found[1]]]} ${Number(found[2]) + 1}`;
    return { "facade.floor_lines": words.line, "elevator.car_floor": words.car_floor }[key] ?? key;
  }

  /** Marks the fields that the key names. */
  mark(key) {
    for (const field of document.querySelectorAll("#scene [aria-invalid]")) field.removeAttribute("aria-invalid");
    if (!key) return;
    const alone = { "facade.floors": this.floors, "facade.storey_height_m": this.storey }[key];
    alone?.setAttribute("aria-invalid", "true");
    const found = key.match(/^\w+\.(\w+)(?:\[(\d+)\])?/);
    const row = found && this.lists.querySelector(`[data-row="${found[1]}-${found[2] ?? 0}"]`);
    for (const field of row?.querySelectorAll("input") ?? []) field.setAttribute("aria-invalid", "true");
  }
}

/** Between the picture and the facade, by the drawn lines: good enough to copy a window. */
class Plane {
  constructor(lines) {
    this.lines = [...lines].sort((a, b) => a.floor - b.floor);
  }

  /** Both ends of a line at `level`, between the drawn ones and beyond them in proportion. */
  ends(level) {
    let upper = this.lines.findIndex((line) => line.floor >= level);
    if (upper < 0) upper = this.lines.length - 1;
    upper = Math.max(1, upper);
    const [low, high] = [this.lines[upper - 1], this.lines[upper]];
    const share = (level - low.floor) / (high.floor - low.floor);
    const between = (a, b) => [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
    return [between(low.left, high.left), between(low.right, high.right)];
  }

  place(across, level) {
    const [left, right] = this.ends(level);
    return [left[0] + across * (right[0] - left[0]), left[1] + across * (right[1] - left[1])];
  }

  /** How far across, and at which level a point of the picture is: y falls as the level grows. */
  locate([x, y]) {
    let [low, high] = [-50, 300];
    let across = 0;
    for (let step = 0; step < 40; step += 1) {
      const level = (low + high) / 2;
      const [left, right] = this.ends(level);
      across = (x - left[0]) / (right[0] - left[0]);
      if (this.place(across, level)[1] > y) low = level;
      else high = level;
    }
    return { across, level: (low + high) / 2 };
  }
}
