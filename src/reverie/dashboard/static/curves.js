// The charts and films of the shown runs. Polls the dashboard for new metrics every few seconds.

import { Chart } from "./chart.js";
import { colorOf, Numbers } from "./colors.js";
import { $, complain, el, json, styled } from "./dom.js";
import { byName, groupOf, GROUPS, inUnit, isCounted, isPerEnvironment, isShown, titleOf } from "./metrics.js";
import { interpolated, lineOf, lineOfGroup, Points } from "./points.js";
import { RunList } from "./runs.js";

const EVERY = 2000; // milliseconds between polls
const AT_ONCE = 60; // runs in a request
const ADDRESS = 6000; // characters of a request
const SETTLED = 10; // seconds without a change after which a run is not read again
const SHARES = 12; // runs whose shares of time are shown
const FILMS = 6; // runs whose films are shown
const PARTS = { env: "environments", act: "acting", data: "data", learn: "learning", log: "logging", eval: "evaluation" };
const AXES = { steps: "environment steps", updates: "updates", hours: "hours" };

export class Curves {
  constructor() {
    this.listeners = [];
    this.numbers = new Numbers();
    this.charts = new Map();
    this.list = new RunList(() => { this.draw(); this.poll(); });
    for (const id of ["smoothing", "middle", "axis", "log"]) $(id).addEventListener("input", () => this.draw());
    $("smoothing").addEventListener("input", ({ target }) => target.setAttribute("aria-valuetext", `${Math.round(100 * target.value)}%`));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    document.addEventListener("themechange", () => this.draw());
    document.addEventListener("visibilitychange", () => document.hidden || this.poll());
    this.sections = new Map(GROUPS.map((group) => [group.title, this.section(group)]));
    this.poll();
  }

  /** Call a listener with the list of runs after each poll. */
  onRuns(listener) {
    this.listeners.push(listener);
  }

  async poll() {
    clearTimeout(this.timer);
    const turn = (this.turn = {});
    try {
      const { folder, runs } = await json("/api/runs");
      $("folder").textContent = $("folder").title = folder;
      this.list.update(folder, runs);
      this.listeners.forEach((listener) => listener(runs.map((run) => this.list.runs.get(run.id))));
      await this.read();
      complain("");
    } catch (error) {
      complain(error.message);
    }
    if (this.turn !== turn) return; // another poll has begun
    this.draw();
    if (!document.hidden) this.timer = setTimeout(() => this.poll(), EVERY);
  }

  /** Read new metrics of the shown runs. One reading at a time: two would double points. */
  async read() {
    this.reading = (this.reading ?? Promise.resolve()).catch(() => {}).then(async () => {
      const due = this.list.ticked.filter((run) => run.changed > run.read - SETTLED);
      for (const batch of batches(due)) await this.readBatch(batch);
    });
    return this.reading;
  }

  async readBatch(runs) {
    for (let left = runs; left.length; ) {
      const query = new URLSearchParams(left.flatMap((run) => [["run", run.id], ["cursor", run.cursor]]));
      const answers = (await json(`/api/metrics?${query}`)).runs;
      left = left.filter((run, i) => {
        const tail = answers[i];
        if (tail.problem) return void complain(`${run.name}: ${tail.problem}`);
        if (tail.replaced) forget(run);
        run.cursor = tail.cursor;
        for (const line of tail.lines.split("\n")) add(run, line);
        if (!tail.more) for (const points of run.metrics.values()) points.flush();
        if (!tail.more) run.read = run.changed;
        if (!tail.more && Date.now() / 1000 - run.changed > SETTLED) run.read = run.changed + 2 * SETTLED;
        return tail.more;
      });
    }
  }

  draw() {
    const shown = this.list.ticked.filter((run) => run.metrics.size);
    const groups = this.list.groups(shown);
    const series = groups.flatMap((group) => ($("middle").value === "runs" || group.runs.length === 1 ? group.runs.map((run) => ({ key: run.id, name: run.name, runs: [run] })) : [{ ...group, name: `${group.name} (${group.runs.length} runs)` }]));
    const numbers = this.numbers.assign(series.map((one) => one.key));
    for (const one of series) {
      one.color = colorOf(numbers.get(one.key));
      for (const run of one.runs) run.color = one.color;
    }
    this.list.render();
    $("no-curves").hidden = shown.length > 0 || !this.list.runs.size;
    $("band-note").hidden = !series.some((one) => one.runs.length > 1);
    this.drawCharts(shown, series);
    this.drawShares(shown.slice(0, SHARES));
    this.drawFilms(shown.filter((run) => run.films.length).slice(0, FILMS));
  }

  /** One chart for each metric, or for each metric and environment; only in groups that are open. */
  drawCharts(shown, series) {
    const envs = [...new Set(shown.map((run) => run.env))].sort(byName);
    const names = [...new Set(shown.flatMap((run) => [...run.metrics.keys()]))].filter((name) => !name.startsWith("time/")).sort(byName);
    const wanted = new Map(), present = new Set();
    for (const name of names) {
      const group = groupOf(name);
      for (const env of isPerEnvironment(name) && envs.length > 1 ? envs : [undefined]) {
        const measured = (run) => (env === undefined || run.env === env) && run.metrics.has(name) && isShown(name, run.metrics.get(name));
        const lines = series.map((one) => ({ ...one, runs: one.runs.filter(measured) })).filter((one) => one.runs.length);
        if (!lines.length) continue;
        present.add(group);
        if (this.sections.get(group).open) wanted.set(JSON.stringify([name, env]), { name, group, lines, title: env === undefined ? titleOf(name) : `${titleOf(name)} · ${env ?? "unknown environment"}` });
      }
    }
    for (const [key, chart] of this.charts) if (!wanted.has(key)) this.charts.delete(key), chart.remove();
    for (const [key, one] of wanted) this.drawChart(key, one);
    for (const { title } of GROUPS) this.sections.get(title).hidden = !present.has(title);
  }

  drawChart(key, { name, group, lines, title }) {
    let chart = this.charts.get(key);
    if (!chart) {
      chart = new Chart(title, { wide: group === "Return", note: name });
      this.charts.set(key, chart);
    }
    const place = this.sections.get(group).lastElementChild;
    if (chart.root.parentNode !== place) place.append(chart.root);
    const weight = isCounted(name) ? 0 : Number($("smoothing").value), by = $("axis").value, middle = $("middle").value;
    const make = (count) => lines.map((one) => ({ name: one.name, color: one.color, ...lineIn(name, one.runs, by, middle, weight, count) })).filter((line) => line.x?.length);
    chart.show(make, { axis: AXES[by], log: $("log").checked, title });
  }

  section({ title, open }) {
    const section = el("details", { class: "group", open, "aria-label": title, ontoggle: () => this.draw() }, el("summary", {}, el("h2", {}, title)), el("div", { class: "charts" }));
    section.hidden = true;
    section.dataset.title = title;
    $("groups").append(section);
    return section;
  }

  drawShares(shown) {
    const measured = shown.filter((run) => run.metrics.has("time/learn"));
    $("shares-group").hidden = !measured.length;
    if ($("shares-group").open) $("shares").replaceChildren(...measured.map((run) => this.shares(run)));
  }

  shares(run) {
    const parts = Object.entries(PARTS).map(([part, words], i) => [words, run.metrics.get(`time/${part}`)?.last ?? 0, `var(--s${i})`]);
    parts.push(["other", Math.max(0, 1 - parts.reduce((sum, part) => sum + part[1], 0)), "var(--s7)"]);
    const percent = (share) => `${Math.round(100 * share)}%`;
    return el("article", { class: "card share" },
      el("h3", {}, run.name),
      el("div", { class: "stack", "aria-hidden": "true" }, ...parts.map(([, share, color]) => styled(el("i"), { "flex-grow": share, background: color }))),
      el("ul", {}, ...parts.map(([words, share, color]) => styled(el("li", {}, `${words} ${percent(share)}`), { "--color": color }))));
  }

  drawFilms(filmed) {
    $("films-group").hidden = !filmed.length;
    const key = JSON.stringify(filmed.map((run) => [run.id, run.films]));
    if (key === this.filmed) return; // a film that plays isn't disturbed
    this.filmed = key;
    $("films").replaceChildren(...filmed.map((run) => this.film(run)));
  }

  film(run) {
    const place = el("div"), calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const show = (name) => {
      const source = `/film?${new URLSearchParams({ run: run.id, name })}`;
      const label = `Prediction of ${run.name}: ${name}`;
      const video = () => {
        const node = el("video", { src: source, controls: true, loop: true, playsinline: true, autoplay: !calm, "aria-label": label });
        node.muted = true;
        return node;
      };
      place.replaceChildren(name.endsWith(".mp4") ? video() : el("img", { src: source, alt: label, loading: "lazy" }));
    };
    const choice = el("select", { "aria-label": `Films of ${run.name}, the newest first`, onchange: () => show(choice.value) }, ...run.films.map((name) => el("option", {}, name)));
    choice.value = run.films.find((name) => name.endsWith(".mp4")) ?? run.films[0]; // pictures come with a film
    show(choice.value);
    return el("figure", { class: "card film" }, el("figcaption", {}, run.name), place, choice);
  }
}

/** Runs in batches whose addresses are not too long. */
function* batches(runs) {
  let batch = [], length = 0;
  for (const run of runs) {
    const more = 3 * run.id.length + 60;
    if (batch.length === AT_ONCE || (batch.length && length + more > ADDRESS)) {
      yield batch;
      [batch, length] = [[], 0];
    }
    batch.push(run);
    length += more;
  }
  if (batch.length) yield batch;
}

function forget(run) {
  run.metrics = new Map();
  run.hours = run.clock = undefined;
}

/** Add a row of metrics to a run. */
function add(run, line) {
  if (!line) return;
  let row;
  try {
    row = JSON.parse(line);
  } catch {
    return; // not a row of metrics
  }
  if (row === null || typeof row !== "object" || typeof row.step !== "number") return;
  for (const name in row) {
    const value = row[name];
    if (name === "step" || name === "time" || typeof value !== "number" || !(Math.abs(value) <= 1e300)) continue;
    let points = run.metrics.get(name);
    if (!points) run.metrics.set(name, (points = new Points()));
    points.push(row.step, inUnit(name, value));
  }
  if (row["rate/env_steps"] > 0) tellTime(run, row.step, row["rate/env_steps"]);
}

/** Hours of training at a step: what an interval took is its steps divided by their rate. */
function tellTime(run, step, rate) {
  run.hours ??= { x: [0], y: [0] };
  const { x, y } = run.hours;
  x.push(step);
  y.push(y.at(-1) + Math.max(0, step - x.at(-2)) / rate / 3600);
}

/** What maps a run's steps to the axis; null where the run has not measured it. */
function axisOf(run, by) {
  if (by === "steps") return (x) => x;
  return (x) => interpolated(x, by === "hours" ? run.hours : run.metrics.get("updates"));
}

function lineIn(name, runs, by, middle, weight, count) {
  if (runs.length === 1) return lineOf(runs[0].metrics.get(name), axisOf(runs[0], by), count, weight);
  const members = runs.map((run) => ({ x: axisOf(run, by)(run.metrics.get(name).x), y: run.metrics.get(name).y })).filter(({ x }) => x?.length);
  return members.length ? lineOfGroup(members, middle, weight) : null;
}
