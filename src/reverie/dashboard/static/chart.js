// A line chart on a canvas, with a crosshair for the mouse, the finger and the keyboard, and downloads.

import { distinct, el, save, short, speak, styled } from "./dom.js";

const RIGHT = 8, TOP = 8, BOTTOM = 34;
const NAMED = 12; // lines that the tooltip names
const VALUES = 3; // lines whose newest values are shown next to the title

const seen = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => target.chart.appear(isIntersecting)), { rootMargin: "200px" });
const sized = new ResizeObserver((entries) => entries.forEach(({ target }) => target.chart.stale()));

export class Chart {
  constructor(title, { wide = false, note = "" } = {}) {
    this.title = title;
    this.lines = [];
    this.at = null; // the crosshair's place, from 0 to 1
    this.visible = false;
    this.last = el("span", { class: "last" });
    this.name = el("span", {}, title);
    const saves = el("span", { class: "saves" },
      el("button", { type: "button", class: "quiet", "aria-label": `Download ${title} as CSV`, onclick: () => this.saveCsv() }, "CSV"),
      el("button", { type: "button", class: "quiet", "aria-label": `Download ${title} as PNG`, onclick: () => this.savePng() }, "PNG"));
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.cross = el("i", { class: "cross", hidden: true });
    this.tip = el("div", { class: "tip", hidden: true });
    this.place = el("div", { class: "chart", tabindex: "0", role: "img" }, this.canvas, this.cross, this.tip);
    this.legend = el("p", { class: "names", hidden: !wide });
    this.root = el("article", { class: wide ? "card wide" : "card" }, el("h3", { title: note }, this.name, this.last, saves), this.place, this.legend);
    this.place.chart = this;
    this.place.addEventListener("pointermove", (event) => this.hover(event));
    this.place.addEventListener("pointerdown", (event) => this.hover(event));
    this.place.addEventListener("pointerleave", () => this.point(null));
    this.place.addEventListener("blur", () => this.point(null));
    this.place.addEventListener("keydown", (event) => this.key(event));
    seen.observe(this.place);
    sized.observe(this.place);
  }

  /** Show what `make` returns when the chart is looked at: `lines` with name, color, x, y, and perhaps raw, low, high. */
  show(make, { axis, log, title }) {
    Object.assign(this, { make, axis, log, title });
    this.name.textContent = title;
    this.stale();
  }

  stale() {
    this.dirty = true;
    if (this.visible) this.draw();
  }

  appear(visible) {
    this.visible = visible;
    if (visible && this.dirty) this.draw();
  }

  remove() {
    seen.unobserve(this.place);
    sized.unobserve(this.place);
    this.root.remove();
  }

  draw() {
    const width = this.place.clientWidth, height = this.place.clientHeight;
    if (!width || !height || !this.make) return;
    this.dirty = false;
    this.lines = this.make(Math.max(50, Math.floor(width / 2)));
    const sharp = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * sharp);
    this.canvas.height = Math.round(height * sharp);
    const context = this.canvas.getContext("2d");
    context.scale(sharp, sharp);
    this.scale = paint(context, width, height, this.lines, this, getComputedStyle(this.place));
    const end = (line) => short(line.y.at(-1));
    const few = this.lines.length <= VALUES ? this.lines : [];
    this.last.replaceChildren(...few.map((line) => styled(el("span", {}, end(line)), { color: line.color })));
    if (!this.legend.hidden) this.legend.replaceChildren(...this.lines.slice(0, NAMED).map((line) => el("span", {}, styled(el("span", { class: "dot" }), { "--color": line.color }), line.name)));
    const words = this.lines.slice(0, NAMED).map((line) => `${line.name}: ${end(line)} at ${short(line.x.at(-1))}`);
    const more = this.lines.length > NAMED ? ` And ${this.lines.length - NAMED} more.` : "";
    this.place.setAttribute("aria-label", `${this.title} over ${this.axis}. ${words.join("; ")}.${more} Arrow keys read values.`);
    this.point(this.at);
  }

  hover(event) {
    const box = this.place.getBoundingClientRect();
    if (!this.scale) return;
    this.height = event.clientY - box.top;
    this.point(Math.min(1, Math.max(0, (event.clientX - box.left - this.scale.left) / this.scale.inner)));
  }

  key(event) {
    const move = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    this.height = null;
    this.point(Math.min(1, Math.max(0, (this.at ?? (move < 0 ? 1.02 : -0.02)) + move)));
    speak(this.words?.join(", ") ?? "");
  }

  point(at) {
    this.at = at;
    this.tip.hidden = this.cross.hidden = at === null || !this.scale || !this.lines.length;
    if (this.tip.hidden) return;
    const { from, to, x, y } = this.scale, place = from + at * (to - from);
    let rows = this.lines.map((line) => ({ ...line, value: line.y[nearest(line.x, place)] }));
    if (this.height !== null && this.height !== undefined) rows.sort((a, b) => Math.abs(y(a.value) - this.height) - Math.abs(y(b.value) - this.height));
    const left = rows.length - NAMED;
    rows = rows.slice(0, NAMED);
    const where = `${this.axis} ${short(place)}`;
    this.words = [where, ...rows.map((row) => `${row.name} ${short(row.value)}`)];
    this.tip.replaceChildren(
      el("b", {}, where),
      ...rows.map((row) => el("div", {}, styled(el("span", { class: "dot" }), { "--color": row.color }), `${row.name}  `, el("b", {}, short(row.value)))),
      ...(left > 0 ? [el("div", {}, `and ${left} more`)] : []));
    styled(this.cross, { left: `${x(place)}px` });
    this.placeTip(x(place));
  }

  /** Next to the crosshair, and within the window. */
  placeTip(x) {
    const box = this.place.getBoundingClientRect(), tip = this.tip.getBoundingClientRect();
    const right = box.left + x + 12, left = box.left + x - 12 - tip.width;
    const across = right + tip.width < innerWidth ? right : Math.max(4, left);
    const down = Math.max(4, Math.min(box.top, innerHeight - tip.height - 4));
    styled(this.tip, { left: `${across}px`, top: `${down}px` });
  }

  saveCsv() {
    const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
    const rows = this.lines.flatMap((line) => line.x.map((x, i) => [quoted(line.name), x, line.y[i], line.low?.[i] ?? "", line.high?.[i] ?? ""].join(",")));
    save(`${this.title}.csv`, new Blob([`series,${this.axis},value,low,high\n${rows.join("\n")}\n`], { type: "text/csv" }));
  }

  /** With its title and legend, at twice the size. */
  savePng() {
    const names = this.lines.slice(0, 40), width = 900, height = 420, head = 34, style = getComputedStyle(this.place);
    const canvas = el("canvas", { width: 2 * width, height: 2 * (head + height + 20 * Math.ceil(names.length / 2) + 10) });
    const context = canvas.getContext("2d");
    context.scale(2, 2);
    context.fillStyle = style.getPropertyValue("--panel");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = style.getPropertyValue("--ink");
    context.font = "600 15px system-ui, sans-serif";
    context.fillText(this.title, 12, 23);
    context.translate(0, head);
    paint(context, width, height, this.lines, this, style);
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "left";
    names.forEach((line, i) => {
      const x = 12 + (i % 2) * (width / 2), y = height + 16 + 20 * Math.floor(i / 2);
      context.fillStyle = line.color;
      context.fillRect(x, y - 9, 10, 10);
      context.fillStyle = style.getPropertyValue("--ink");
      context.fillText(line.name, x + 16, y, width / 2 - 30);
    });
    canvas.toBlob((blob) => save(`${this.title}.png`, blob));
  }
}

/** Draw lines with their axes; returns where values are. */
function paint(context, width, height, lines, { axis, log }, style) {
  const [ink, grid] = [style.getPropertyValue("--faint"), style.getPropertyValue("--line")];
  if (!lines.length) return null;
  let [from, to] = extent(lines.map((line) => [line.x[0], line.x.at(-1)]));
  if (!(to > from)) [from, to] = [from - 0.5, to + 0.5];
  const values = lines.flatMap((line) => [line.y, line.raw, line.low, line.high].filter(Boolean));
  const logarithmic = log && values.some((list) => list.some((v) => v > 0));
  const [low, high] = room(...extent(values, logarithmic), logarithmic);
  const place = logarithmic ? (v) => Math.log10(v) : (v) => v;
  const up = logarithmic ? decades(low, high) : ticks(low, high, height > 200 ? 5 : 3);
  const labels = logarithmic ? up.map(short) : distinct(up);
  context.font = "11px system-ui, sans-serif";
  const left = 10 + Math.max(...labels.map((label) => context.measureText(label).width), 16), inner = width - left - RIGHT;
  const x = (v) => left + ((v - from) / (to - from)) * inner;
  const bottom = height - BOTTOM, base = place(low), span = place(high) - base;
  const y = (v) => TOP + (1 - (place(v) - base) / span) * (bottom - TOP);
  context.lineWidth = 1;
  context.fillStyle = ink;
  context.strokeStyle = grid;
  context.textAlign = "right";
  up.forEach((value, i) => {
    context.beginPath();
    context.moveTo(left, y(value));
    context.lineTo(width - RIGHT, y(value));
    context.stroke();
    context.fillText(labels[i], left - 6, y(value) + 4);
  });
  const across = ticks(from, to, width > 500 ? 6 : 3), names = distinct(across);
  across.forEach((value, i) => {
    context.textAlign = x(value) > width - 24 ? "right" : "center";
    context.fillText(names[i], x(value), bottom + 14);
  });
  context.textAlign = "center";
  context.fillText(axis, left + inner / 2, height - 4);
  context.save();
  context.beginPath();
  context.rect(left, 0, inner + RIGHT, bottom + 1);
  context.clip();
  context.lineJoin = "round";
  const stroke = (xs, ys, thick, opacity, color) => {
    context.globalAlpha = opacity;
    context.lineWidth = thick;
    context.strokeStyle = color;
    context.beginPath();
    trace(context, xs, ys, x, y, logarithmic);
    context.stroke();
  };
  const many = lines.length > 8;
  for (const line of lines) if (line.low) band(context, line, x, y, logarithmic, low);
  if (!many) for (const line of lines) if (line.raw && line.raw !== line.y) stroke(line.x, line.raw, 1, 0.22, line.color);
  for (const line of lines) {
    stroke(line.x, line.y, many ? 1.3 : 2, many ? 0.85 : 1, line.color);
    if (line.x.length > 1) continue;
    context.fillStyle = line.color;
    context.beginPath();
    context.arc(x(line.x[0]), y(line.y[0]), 3, 0, 7);
    context.fill();
  }
  context.restore();
  context.globalAlpha = 1;
  return { from, to, left, inner, x, y };
}

function trace(context, xs, ys, x, y, logarithmic) {
  let drawing = false;
  for (let i = 0; i < xs.length; i++) {
    if (!Number.isFinite(ys[i]) || (logarithmic && ys[i] <= 0)) drawing = false;
    else if (drawing) context.lineTo(x(xs[i]), y(ys[i]));
    else {
      context.moveTo(x(xs[i]), y(ys[i]));
      drawing = true;
    }
  }
}

function band(context, line, x, y, logarithmic, least) {
  const floor = (v) => (logarithmic && !(v > 0) ? least : v);
  context.globalAlpha = 0.16;
  context.fillStyle = line.color;
  context.beginPath();
  line.x.forEach((at, i) => context.lineTo(x(at), y(floor(line.high[i]))));
  for (let i = line.x.length - 1; i >= 0; i--) context.lineTo(x(line.x[i]), y(floor(line.low[i])));
  context.fill();
}

/** The least and largest of all numbers; with `positive`, of those above 0. */
function extent(lists, positive = false) {
  let low = Infinity, high = -Infinity;
  for (const list of lists) {
    for (const v of list) {
      if (!Number.isFinite(v) || Math.abs(v) > 1e300 || (positive && v <= 0)) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
  }
  return low <= high ? [low, high] : [0, 0];
}

/** Some room around values that hardly differ. */
function room(low, high, logarithmic) {
  if (logarithmic) return high > low * 1.01 ? [low, high] : [low / 2, high * 2];
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (high - low > 1e-9 * size && high - low > 1e-290) return [low, high];
  const more = size > 1e-290 ? 0.1 * size : 0.5;
  return [low - more, high + more];
}

export function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-6 && found.length < 20; i++) found.push(i * step);
  return found;
}

/** Powers of ten in a range, not too many; its ends if it holds fewer than two. */
function decades(low, high) {
  const from = Math.ceil(Math.log10(low)), to = Math.floor(Math.log10(high));
  const step = Math.max(1, Math.ceil((to - from) / 5)), found = [];
  for (let power = from; power <= to; power += step) found.push(10 ** power);
  return found.length > 1 ? found : [low, high];
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
