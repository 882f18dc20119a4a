// A metric's points, and the lines that are drawn of them: thinned, smoothed, and joined over the runs of a group.

const MOST = 4000; // points that are kept of a metric
const BINS = 200; // points on the line of a group

/** One metric of one run, thinned so that a run of any length fits into the page. */
export class Points {
  constructor() {
    this.x = [];
    this.y = [];
    this.last = null; // the newest value
    this.every = 1; // at least so many values make a point
    this.clear();
  }

  clear() {
    this.sumX = this.sumY = this.count = 0;
    this.at = NaN;
  }

  push(x, y) {
    this.last = y;
    // Parallel environments end episodes at the same step: one point, since a chart is a function of the step.
    if (this.count >= this.every && x !== this.at) this.flush();
    this.sumX += x;
    this.sumY += y;
    this.count += 1;
    this.at = x;
  }

  flush() {
    if (!this.count) return;
    this.x.push(this.sumX / this.count);
    this.y.push(this.sumY / this.count);
    this.clear();
    if (this.x.length > MOST) this.thin();
  }

  thin() {
    const halved = (list) => Array.from({ length: list.length >> 1 }, (_, i) => (list[2 * i] + list[2 * i + 1]) / 2);
    if (this.x.length % 2) this.x.push(this.x.at(-1)), this.y.push(this.y.at(-1));
    this.x = halved(this.x);
    this.y = halved(this.y);
    this.every *= 2;
  }
}

/** A line of one run: at most `count` points, each the mean of its neighbors. */
export function lineOf(points, axis, count, weight) {
  const x = axis(points.x);
  if (!x) return null;
  const [at, raw] = bucketed(x, points.y, count);
  return { x: at, raw, y: smoothed(raw, weight) };
}

/** A line of a group: the mean or interquartile mean of its runs where at least half have got, and their range. */
export function lineOfGroup(members, middle, weight) {
  const end = Math.max(...members.map(({ x }) => x.at(-1)));
  const binned = members.map(({ x, y }) => held(x, y, end));
  const line = { x: [], raw: null, y: [], low: [], high: [] };
  for (let i = 0; i < BINS; i++) {
    const found = binned.map((values) => values[i]).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
    if (!found.length || 2 * found.length < members.length) continue;
    line.x.push(((i + 1) * end) / BINS);
    line.y.push(middle === "mean" ? mean(found) : interquartileMean(found));
    line.low.push(found[0]);
    line.high.push(found.at(-1));
  }
  for (const part of ["y", "low", "high"]) line[part] = smoothed(line[part], weight);
  return line;
}

/** Means in equal bins from 0 to `end`; an empty bin repeats the one before it, up to the last value. NaN outside. */
function held(x, y, end) {
  const sums = new Float64Array(BINS), counts = new Uint32Array(BINS), values = new Float64Array(BINS).fill(NaN);
  const place = (at) => (end > 0 ? Math.min(BINS - 1, Math.max(0, Math.ceil((at / end) * BINS) - 1)) : 0);
  for (let i = 0; i < x.length; i++) {
    const bin = place(x[i]);
    sums[bin] += y[i];
    counts[bin] += 1;
  }
  const last = place(x.at(-1));
  for (let i = 0, value = NaN; i <= last; i++) values[i] = value = counts[i] ? sums[i] / counts[i] : value;
  return values;
}

function interquartileMean(ordered) {
  const cut = Math.floor(ordered.length / 4);
  return mean(ordered.slice(cut, ordered.length - cut));
}

export const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;

/** Exponential moving average, without the pull of its beginning. */
function smoothed(y, weight) {
  if (!weight) return y;
  let sum = 0, total = 0;
  return y.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

function bucketed(x, y, count) {
  if (x.length <= count) return [x, y];
  const size = x.length / count, bx = new Array(count), by = new Array(count);
  for (let i = 0; i < count; i++) {
    const from = Math.floor(i * size), to = Math.floor((i + 1) * size);
    let sum = 0;
    for (let j = from; j < to; j++) sum += y[j];
    bx[i] = x[to - 1];
    by[i] = sum / (to - from);
  }
  return [bx, by];
}

/** Steps as the values of another metric that grows with them, such as hours; null if a run has not measured it. */
export function interpolated(x, known) {
  if (!known || known.x.length < 2) return null;
  const found = new Array(x.length);
  for (let i = 0, j = 1; i < x.length; i++) {
    while (j < known.x.length - 1 && known.x[j] < x[i]) j += 1;
    const share = (x[i] - known.x[j - 1]) / (known.x[j] - known.x[j - 1] || 1);
    found[i] = Math.max(0, known.y[j - 1] + share * (known.y[j] - known.y[j - 1]));
  }
  return found;
}
