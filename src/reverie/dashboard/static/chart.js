// A line chart: several runs over environment steps, with a crosshair for the mouse, the finger and the keyboard.

import { el, short, speak, styled, svg } from "./dom.js";

const LEFT = 44, RIGHT = 6, TOP = 8, BOTTOM = 22;

/** One metric's points, thinned so that a run of any length fits into the page. */
export class Points {
  static most = 8000;

  constructor() {
    this.x = [];
    this.y = [];
    this.last = null; // the newest value
    this.every = 1; // at least so many values make a point
    this.waiting = [];
  }

  push(x, y) {
    this.last = y;
    // Environments side by side end episodes at the same step: one point, for a chart is a function of the step.
    const before = this.waiting[this.waiting.length - 1];
    if (before && before[0] !== x && this.waiting.length >= this.every) this.flush();
    this.waiting.push([x, y]);
  }

  flush() {
    if (!this.waiting.length) return;
    this.x.push(mean(this.waiting.map((p) => p[0])));
    this.y.push(mean(this.waiting.map((p) => p[1])));
    this.waiting = [];
    if (this.x.length > Points.most) this.thin();
  }

  thin() {
    const halve = (list) => list.filter((_, i) => i % 2 === 0).map((v, i) => (v + (list[2 * i + 1] ?? v)) / 2);
    this.x = halve(this.x);
    this.y = halve(this.y);
    this.every *= 2;
  }
}

const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;

/** Exponential moving average, without the pull of its beginning. */
function smoothed(y, weight) {
  let sum = 0, total = 0;
  return y.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

/** At most `count` points, each the mean of its neighbours. */
function bucketed(x, y, count) {
  if (x.length <= count) return [x, y];
  const size = x.length / count, bx = [], by = [];
  for (let i = 0; i < count; i++) {
    const from = Math.floor(i * size), to = Math.floor((i + 1) * size);
    bx.push(x[to - 1]);
    by.push(mean(y.slice(from, to)));
  }
  return [bx, by];
}

export function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return found;
}

export class Chart {
  constructor(title, { wide = false, note = "" } = {}) {
    this.title = title;
    this.series = [];
    this.at = null; // the crosshair's place, from 0 to 1
    this.last = el("span", { class: "last" });
    this.place = el("div", { class: "chart", tabindex: "0", role: "img" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.root = el("article", { class: wide ? "card wide" : "card" }, el("h3", { title: note }, el("span", {}, title), this.last), this.place);
    this.place.addEventListener("pointermove", (event) => this.point(this.fraction(event)));
    this.place.addEventListener("pointerdown", (event) => this.point(this.fraction(event)));
    this.place.addEventListener("pointerleave", () => this.point(null));
    this.place.addEventListener("blur", () => this.point(null));
    this.place.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.place);
  }

  /** `series`: name, color and points of each run; `weight`: of the moving average. */
  show(series, weight) {
    this.series = series.filter((s) => s.points && s.points.x.length);
    this.weight = weight;
    this.root.hidden = !this.series.length;
    this.draw();
  }

  draw() {
    const width = this.place.clientWidth, height = this.place.clientHeight;
    if (!width || !this.series.length) return;
    const inner = width - LEFT - RIGHT;
    this.lines = this.series.map((s) => {
      const [x, raw] = bucketed(s.points.x, s.points.y, Math.max(50, Math.floor(inner / 1.5)));
      return { ...s, x, raw, y: smoothed(raw, this.weight) };
    });
    const all = this.lines.flatMap((line) => [...line.y, ...line.raw.filter((v, i) => Math.abs(v - line.y[i]) < 1e30)]);
    let [low, high] = [Math.min(...all), Math.max(...all)];
    if (!(high - low > 1e-9 * Math.max(1, Math.abs(high)))) [low, high] = [low - 0.5 - Math.abs(low) * 0.1, high + 0.5 + Math.abs(high) * 0.1];
    const xs = this.lines.flatMap((line) => [line.x[0], line.x[line.x.length - 1]]);
    const [from, to] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)];
    this.scale = {
      from, to, width, height,
      x: (v) => LEFT + ((v - from) / (to - from)) * inner,
      y: (v) => TOP + (1 - (v - low) / (high - low)) * (height - TOP - BOTTOM),
    };
    const { x, y } = this.scale, root = svg("svg", { "aria-hidden": "true" });
    for (const value of ticks(low, high, height > 200 ? 5 : 3)) {
      root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      root.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    for (const value of ticks(from, to, width > 500 ? 6 : 3)) {
      const nearEnd = x(value) > width - 24;
      root.append(svg("text", { x: x(value), y: height - 6, "text-anchor": nearEnd ? "end" : "middle" }, short(value)));
    }
    const path = (line, y_) => line.x.map((v, i) => `${i ? "L" : "M"}${x(v).toFixed(1)} ${y(y_[i]).toFixed(1)}`).join("");
    for (const line of this.lines) {
      if (this.weight > 0) root.append(styled(svg("path", { class: "raw", d: path(line, line.raw) }), { stroke: line.color }));
      root.append(styled(svg("path", { class: "series", d: path(line, line.y) }), { stroke: line.color }));
      if (line.x.length === 1) root.append(styled(svg("circle", { cx: x(line.x[0]), cy: y(line.y[0]), r: 3 }), { fill: line.color }));
    }
    this.cross = svg("line", { class: "cross", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    root.append(this.cross);
    this.place.replaceChildren(root, this.tip);
    const end = (line) => line.y[line.y.length - 1];
    this.last.replaceChildren(...this.lines.map((line) => styled(el("span", {}, short(end(line))), { color: line.color })));
    const now = this.lines.map((line) => `${line.name}: ${short(end(line))} after ${short(line.x[line.x.length - 1])} steps`);
    this.place.setAttribute("aria-label", `${this.title} over environment steps. ${now.join("; ")}. Arrow keys read values.`);
    this.point(this.at);
  }

  fraction(event) {
    const box = this.place.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)));
  }

  key(event) {
    const move = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const start = this.at ?? (move < 0 ? 1.02 : -0.02);
    this.point(Math.min(1, Math.max(0, start + move)));
    speak(this.words.join(", "));
  }

  point(at) {
    this.at = at;
    this.tip.hidden = at === null || !this.scale;
    this.cross?.setAttribute("visibility", this.tip.hidden ? "hidden" : "visible");
    if (this.tip.hidden) return;
    const { from, to, x, width } = this.scale, step = from + at * (to - from);
    this.cross.setAttribute("x1", x(step));
    this.cross.setAttribute("x2", x(step));
    const rows = this.lines.map((line) => ({ ...line, value: line.y[nearest(line.x, step)] }));
    this.words = [`step ${short(step)}`, ...rows.map((row) => `${row.name} ${short(row.value)}`)];
    this.tip.replaceChildren(
      el("b", {}, `step ${short(step)}`),
      ...rows.map((row) => el("div", {}, styled(el("span", { class: "dot" }), { "--color": row.color }), `${row.name}  `, el("b", {}, short(row.value)))),
    );
    const right = x(step) > width / 2;
    styled(this.tip, { left: right ? "auto" : `${x(step) + 10}px`, right: right ? `${width - x(step) + 10}px` : "auto" });
  }
}

function nearest(list, value) {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - list[low - 1] < list[low] - value ? low - 1 : low;
}
