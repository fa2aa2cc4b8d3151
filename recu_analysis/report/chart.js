// One chart as SVG: lines, a legend, values at the pointer or by arrow keys, zoom, and its numbers as a table.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 54, right: 12, top: 30, bottom: 40 };
const DRAG = 8; // Pixels from which a press is a zoom and not a tap.

/** An element with attributes and children; texts become text nodes, so nothing in them is markup. */
function make(name, attributes = {}, ...children) {
  const element = name in SVG_NAMES ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
const SVG_NAMES = { svg: 1, g: 1, path: 1, line: 1, text: 1, rect: 1, circle: 1 };

/** A number with three digits, a real minus and no needless exponent. */
function short(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2) : Number(value.toPrecision(3)).toString();
  return text.replace(/\.?0+e/, "e").replaceAll("-", "−");
}

/** Round values from low to high, at most `count` of them. */
function ticks(low, high, count, whole) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) found.push(index * step);
  return found;
}

class Chart {
  /** Make the parts of a chart inside `place`; `title` names it for screen readers. */
  constructor(place, title) {
    this.place = place;
    this.title = title;
    this.zoomed = null;
    this.at = null;
    this.legend = make("ul", { class: "legend" });
    this.svg = make("svg", { tabindex: 0, role: "img", "aria-describedby": "chart-hint" });
    this.reading = make("output", { class: "reading", "aria-live": "polite" });
    this.numbers = make("details", { class: "numbers-of" }, make("summary", {}, "Numbers of this chart"));
    this.numbers.addEventListener("toggle", () => this.fillTable());
    place.append(this.legend, this.svg, this.reading, this.makeButtons(), this.numbers);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(place);
  }

  makeButtons() {
    const button = (label, text, action) => {
      const element = make("button", { type: "button", "aria-label": `${label}: ${this.title}` }, text);
      element.addEventListener("click", action);
      return element;
    };
    return make(
      "div",
      { class: "buttons" },
      button("Zoom in", "+", () => this.scale(0.5)),
      button("Zoom out", "−", () => this.scale(2)),
      button("Show everything", "all", () => this.zoom(null)),
    );
  }

  /**
   * Show lines, {name, color, dash, points: [[x, y], ...]}, on axes {x, y, percent, whole, zero}, with keys like lines.
   * A line may have a band, [[x, low, high], ...]; `pale`, whether each point is drawn pale; `noise`, whether it is what
   * noise alone would give; and `reference`, whether it has no points of its own to read.
   */
  show(lines, keys, axes) {
    this.lines = lines.filter((line) => line.points.some((point) => point[1] !== null));
    this.axes = axes;
    const measured = this.lines.filter((line) => !line.reference);
    const stops = new Set(measured.flatMap((line) => line.points.map((point) => point[0])));
    this.stops = [...stops].sort((a, b) => a - b);
    this.at = null;
    this.legend.replaceChildren(...keys.map((line) => this.key(line)));
    this.draw();
    this.fillTable();
  }

  key(line) {
    const stroke = { stroke: line.color, "stroke-dasharray": line.dash, class: line.noise ? "trace noise" : "trace", d: "M0 6H32" };
    return make("li", {}, make("svg", { viewBox: "0 0 32 12", "aria-hidden": "true" }, make("path", stroke)), line.name);
  }

  /** The range of x: all of it, or what was zoomed to. */
  get range() {
    if (this.zoomed) return this.zoomed;
    const [low, high] = [this.stops[0], this.stops[this.stops.length - 1]];
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  }

  zoom(range) {
    this.zoomed = range;
    this.draw();
  }

  /** Zoom about the reading, or the middle, by a factor; out of everything is everything. */
  scale(factor) {
    if (!this.stops.length) return;
    const [low, high] = this.range;
    const half = ((high - low) * factor) / 2;
    const middle = this.at === null ? (low + high) / 2 : this.stops[this.at];
    const first = this.stops[0];
    const last = this.stops[this.stops.length - 1];
    if (2 * half >= last - first) this.zoom(null);
    else this.zoom([Math.max(first, Math.min(middle - half, last - 2 * half)), Math.min(last, Math.max(middle + half, first + 2 * half))]);
  }

  /** Draw for a width in pixels: that of the page, or of paper. */
  draw(width = this.place.clientWidth) {
    if (!this.lines) return;
    this.width = Math.max(240, Math.round(width));
    this.height = Math.round(Math.min(300, Math.max(210, this.width * 0.55)));
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.setAttribute("aria-label", this.summary());
    if (!this.stops.length) {
      this.svg.replaceChildren(make("text", { x: MARGIN.left, y: 40 }, "No values for this layer."));
      return;
    }
    this.setScales();
    const lines = make("g", {}, ...this.lines.map((line) => this.band(line)), ...this.lines.flatMap((line) => this.traces(line)));
    this.cursor = make("g", {});
    this.svg.replaceChildren(...this.frame(), lines, this.cursor);
    this.read();
  }

  summary() {
    const names = this.lines.map((line) => line.name).join(", ");
    return `${this.title}: ${this.axes.y} against ${this.axes.x}. ${this.lines.length ? names : "No values"}.`;
  }

  setScales() {
    const [low, high] = this.range;
    const every = this.lines.flatMap((line) => [...line.points, ...(line.band ?? [])]);
    const values = every.filter((p) => p[0] >= low && p[0] <= high).flatMap((p) => p.slice(1)).filter((value) => value !== null);
    let bottom = values.reduce((a, b) => Math.min(a, b), Infinity);
    let top = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!values.length) [bottom, top] = [0, 1];
    if (this.axes.zero) bottom = Math.min(0, bottom);
    if (top === bottom) top = bottom + (Math.abs(bottom) || 1);
    this.bounds = [bottom, top + 0.05 * (top - bottom)];
    const [wide, tall] = [this.width - MARGIN.left - MARGIN.right, this.height - MARGIN.top - MARGIN.bottom];
    this.x = (value) => MARGIN.left + ((value - low) / (high - low)) * wide;
    this.y = (value) => MARGIN.top + (1 - (value - this.bounds[0]) / (this.bounds[1] - this.bounds[0])) * tall;
    this.back = (pixel) => low + ((pixel - MARGIN.left) / wide) * (high - low);
  }

  frame() {
    const [right, bottom] = [this.width - MARGIN.right, this.height - MARGIN.bottom];
    const parts = [];
    for (const value of ticks(...this.bounds, this.height / 50, false)) {
      const y = this.y(value);
      const text = this.axes.percent ? `${short(100 * value)} %` : short(value);
      parts.push(make("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y, y2: y }));
      parts.push(make("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, text));
    }
    for (const value of ticks(...this.range, this.width / 70, this.axes.whole)) {
      parts.push(make("line", { class: "axis", x1: this.x(value), x2: this.x(value), y1: bottom, y2: bottom + 4 }));
      parts.push(make("text", { x: this.x(value), y: bottom + 17, "text-anchor": "middle" }, short(value)));
    }
    parts.push(make("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
    parts.push(make("text", { x: 2, y: 14 }, this.axes.y));
    parts.push(make("text", { x: (MARGIN.left + right) / 2, y: this.height - 6, "text-anchor": "middle" }, this.axes.x));
    return parts;
  }

  /** A line as paths: pale where its points are, strong elsewhere. A segment is strong if both of its ends are. */
  traces(line) {
    if (line.noise) return [this.trace(line, line.points, "trace noise")];
    if (!line.pale?.some(Boolean)) return [this.trace(line, line.points, "trace")];
    const strong = line.points.map((point, index) => (line.pale[index] ? [point[0], null] : point));
    return [this.trace(line, line.points, "trace pale"), this.trace(line, strong, "trace")];
  }

  /** One path; a value that is not known breaks it, and a point alone becomes a ring. */
  trace(line, points, style) {
    const [low, high] = this.range;
    const inside = points.map((point) => (point[0] >= low && point[0] <= high ? point[1] : null));
    let d = "";
    points.forEach((point, index) => {
      if (inside[index] === null) return;
      const alone = (inside[index - 1] ?? null) === null && (inside[index + 1] ?? null) === null;
      const [x, y] = [this.x(point[0]).toFixed(1), this.y(point[1]).toFixed(1)];
      d += alone ? `M${x} ${y}m-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0` : `${(inside[index - 1] ?? null) === null ? "M" : "L"}${x} ${y}`;
    });
    return make("path", { class: style, stroke: line.color, "stroke-dasharray": line.dash, d });
  }

  /** The area from the lowest to the highest value; empty for a line without a band. */
  band(line) {
    const [low, high] = this.range;
    const known = (line.band ?? []).filter((point) => point[0] >= low && point[0] <= high && point[1] !== null);
    const corner = (point, end) => `${this.x(point[0]).toFixed(1)} ${this.y(point[end]).toFixed(1)}`;
    const corners = [...known.map((point) => corner(point, 2)), ...known.toReversed().map((point) => corner(point, 1))];
    return make("path", { class: "band", fill: line.color, d: known.length > 1 ? `M${corners.join("L")}Z` : "" });
  }

  listen() {
    const position = (event) => ((event.clientX - this.svg.getBoundingClientRect().left) * this.width) / this.svg.clientWidth;
    let pressed = null;
    this.svg.addEventListener("pointerdown", (event) => {
      pressed = position(event);
      if (event.pointerType === "touch") this.readNear(pressed);
    });
    this.svg.addEventListener("pointermove", (event) => {
      this.readNear(position(event));
      if (pressed !== null) this.select(pressed, position(event));
    });
    this.svg.addEventListener("pointerup", (event) => {
      const released = position(event);
      if (pressed !== null && Math.abs(released - pressed) > DRAG && this.stops.length) {
        const ends = [pressed, released].sort((a, b) => a - b).map((pixel) => this.back(pixel));
        this.zoom([Math.max(ends[0], this.range[0]), Math.min(ends[1], this.range[1])]);
      }
      pressed = null;
    });
    this.svg.addEventListener("pointercancel", () => { pressed = null; this.read(); });
    this.svg.addEventListener("pointerleave", (event) => {
      pressed = null;
      if (event.pointerType === "mouse") this.at = null; // A finger that is lifted leaves what it read.
      this.read();
    });
    this.svg.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const last = this.stops.length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey || last < 0) return;
    if (event.key in moves) {
      this.at = this.at === null && Number.isFinite(moves[event.key]) ? 0 : Math.max(0, Math.min(last, (this.at ?? 0) + moves[event.key]));
      const [low, high] = this.range;
      if (this.stops[this.at] < low || this.stops[this.at] > high) this.zoom(null);
      this.read();
    } else if (event.key === "+" || event.key === "=") this.scale(0.5);
    else if (event.key === "-") this.scale(2);
    else if (event.key === "0" || event.key === "Escape") this.zoom(null);
    else return;
    event.preventDefault();
  }

  readNear(pixel) {
    if (!this.stops.length) return;
    const [low, high] = this.range;
    const value = Math.max(low, Math.min(high, this.back(pixel)));
    this.at = this.stops.reduce((best, stop, index) => (Math.abs(stop - value) < Math.abs(this.stops[best] - value) ? index : best), 0);
    this.read();
  }

  /** Mark where the reading is and say the values there. */
  read() {
    if (!this.cursor) return;
    this.cursor.replaceChildren();
    this.reading.replaceChildren();
    const [low, high] = this.range;
    const stop = this.stops[this.at];
    if (this.at === null || stop === undefined || stop < low || stop > high) return;
    const x = this.x(stop);
    this.cursor.append(make("line", { class: "cursor", x1: x, x2: x, y1: MARGIN.top, y2: this.height - MARGIN.bottom }));
    const texts = [];
    for (const line of this.lines) {
      const point = line.points.find((each) => each[0] === stop && each[1] !== null);
      if (!point) continue;
      this.cursor.append(make("circle", { cx: x, cy: this.y(point[1]), r: 4, fill: line.color }));
      const ends = line.band?.find((each) => each[0] === stop);
      const range = ends ? ` (${this.value(ends[1])} to ${this.value(ends[2])})` : "";
      texts.push(`${line.name} ${this.value(point[1])}${range}`);
    }
    this.reading.append(`${this.axes.x} ${short(stop)}: ${texts.join("; ")}`);
  }

  value(number) {
    return this.axes.percent ? `${short(100 * number)} %` : short(number);
  }

  select(from, to) {
    const [left, right] = [Math.min(from, to), Math.max(from, to)];
    if (right - left < DRAG) return;
    const box = { class: "chosen", x: left, width: right - left, y: MARGIN.top, height: this.height - MARGIN.top - MARGIN.bottom };
    this.cursor.append(make("rect", box));
  }

  /** The chart's numbers as a table, made when somebody opens it. */
  fillTable() {
    this.numbers.querySelector("div")?.remove();
    if (!this.numbers.open || !this.lines) return;
    const measured = this.lines.filter((line) => !line.noise); // noise alone is read from the chart
    const maps = measured.map((line) => new Map(line.points));
    const cell = (text, scope) => (scope ? make("th", { scope }, text) : make("td", {}, text));
    const head = make("tr", {}, ...[this.axes.x, ...measured.map((line) => line.name)].map((text) => cell(text, "col")));
    const rows = this.stops.map((stop) => make("tr", {}, cell(short(stop), "row"), ...maps.map((map) => cell(this.value(map.get(stop) ?? null)))));
    const table = make("table", { class: "facts" }, make("caption", {}, `${this.title}: ${this.axes.y}`), make("thead", {}, head), make("tbody", {}, ...rows));
    this.numbers.append(make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `Numbers: ${this.title}` }, table));
  }
}
