// The runs in the folder, what they have measured, and their films. Asks for what is new every few seconds.

import { Chart, Points } from "./chart.js";
import { $, complain, el, json, short, speak, styled } from "./dom.js";

const EVERY = 2000; // milliseconds between questions
const TICKED = 4; // runs that are shown from the beginning

// In the order in which a person asks; a metric is in the first group whose pattern it matches.
const GROUPS = [
  ["Return", /^episode\/return$/],
  ["Episodes", /^(episode\/|episodes$)/],
  ["Losses", /^(loss\/|opt\/loss)/],
  ["Imagination", /^(ret|val|adv|rew|con|weight|tar|slowval)/],
  ["Policy", /^(ent|rand)\//],
  ["World model", /^(dyn_ent|rep_ent)/],
  ["Speed", /^rate\//],
  ["Replay", /^replay\//],
  ["Optimiser", /^(opt\/|updates)/],
  ["More", /(?!^time\/|^step$)/],
];
const TITLES = {
  "episode/return": "Return of training episodes", "episode/length": "Length of episodes", episodes: "Episodes ended", updates: "Updates",
  "opt/loss": "All losses, weighted", "rate/env_steps": "Environment steps per second", "rate/updates": "Updates per second",
  "replay/records": "Records in replay", "replay/bytes": "Bytes of replay", dyn_ent: "Entropy of the prior", rep_ent: "Entropy of the posterior",
  "opt/grad_norm": "Norm of the gradient", "opt/skipped": "Skipped updates", "env/restarts": "Environments made anew",
};
const LOSSES = {
  con: "Loss: goes on", dyn: "Loss: dynamics", rep: "Loss: representation", rew: "Loss: reward", policy: "Loss: policy", value: "Loss: value",
  repval: "Loss: value on replay",
};
const IMAGINED = { ret: "imagined return", val: "value", adv: "advantage", rew: "imagined reward", con: "imagined: goes on", weight: "weight", tar: "value target", slowval: "value of the slow critic" };
const ONLY_WHEN_NOT_ZERO = ["env/restarts", "opt/skipped"];
const COUNTED = /^(episodes$|updates$|replay\/)/; // what only grows isn't smoothed
const PARTS = { env: "environments", act: "acting", data: "data", learn: "learning", log: "logging", eval: "evaluating" };

export class Curves {
  constructor() {
    this.runs = new Map(); // id → what is known of it
    this.charts = new Map();
    this.listeners = [];
    $("smoothing").addEventListener("input", (event) => {
      event.target.setAttribute("aria-valuetext", `${Math.round(100 * event.target.value)}%`);
      this.draw();
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    this.ask();
  }

  /** Called with the list whenever it was asked for. */
  onRuns(listener) {
    this.listeners.push(listener);
  }

  async ask() {
    clearTimeout(this.timer);
    const turn = (this.turn = {});
    try {
      await this.listRuns();
      const read = [...this.runs.values()].filter((run) => run.ticked);
      // A run is read once at a time: two readings from one cursor would double its points.
      await Promise.all(read.map((run) => (run.reading ??= this.read(run).finally(() => (run.reading = null)))));
      complain("");
    } catch (error) {
      complain(error.message);
    }
    if (this.turn !== turn) return; // another question was asked meanwhile
    this.draw();
    if (!document.hidden) this.timer = setTimeout(() => this.ask(), EVERY);
  }

  async listRuns() {
    const { folder, runs } = await json("/api/runs");
    $("folder").textContent = folder;
    $("folder").title = folder;
    const first = !this.runs.size, ids = new Set(runs.map((run) => run.id));
    for (const id of this.runs.keys()) if (!ids.has(id)) this.runs.delete(id);
    runs.forEach((found, index) => {
      let run = this.runs.get(found.id);
      if (!run) {
        const ticked = first ? index < TICKED : found.live;
        run = { ticked, color: this.freeColor(), metrics: new Map(), cursor: "" };
        this.runs.set(found.id, run);
      }
      Object.assign(run, found);
      run.name = found.id === "." ? folder.split("/").pop() : found.id;
    });
    $("no-runs").hidden = runs.length > 0;
    this.listeners.forEach((listener) => listener(runs.map((run) => this.runs.get(run.id))));
  }

  freeColor() {
    const used = [...this.runs.values()].map((run) => run.color);
    const colors = [...Array(8).keys()].map((i) => `var(--s${i})`);
    const count = (color) => used.filter((other) => other === color).length;
    return colors.reduce((best, color) => (count(color) < count(best) ? color : best));
  }

  async read(run) {
    for (;;) {
      const query = new URLSearchParams({ run: run.id, cursor: run.cursor });
      const tail = await json(`/api/metrics?${query}`);
      if (tail.anew) run.metrics = new Map();
      run.cursor = tail.cursor;
      for (const line of tail.lines.split("\n")) this.add(run, line);
      if (!tail.more) break;
    }
    for (const points of run.metrics.values()) points.flush();
  }

  add(run, line) {
    let row;
    try {
      row = JSON.parse(line);
    } catch {
      return; // no row of metrics
    }
    if (row === null || typeof row !== "object" || typeof row.step !== "number") return;
    for (const [name, value] of Object.entries(row)) {
      if (name === "step" || typeof value !== "number") continue;
      if (!run.metrics.has(name)) run.metrics.set(name, new Points());
      run.metrics.get(name).push(row.step, value);
    }
    run.step = row.step;
  }

  draw() {
    const shown = [...this.runs.values()].filter((run) => run.ticked && this.runs.has(run.id));
    this.drawList();
    $("no-curves").hidden = shown.length > 0 || !this.runs.size;
    this.drawCharts(shown);
    this.drawShares(shown);
    this.drawFilms(shown);
  }

  drawList() {
    const list = $("runs");
    for (const item of [...list.children]) if (!this.runs.has(item.dataset.id)) item.remove();
    for (const run of this.runs.values()) {
      run.item ??= this.item(run);
      const { about, progress, item } = run;
      const returns = run.metrics.get("episode/return"), recent = returns?.y.slice(-20);
      const step = run.step === undefined ? "" : `${run.step.toLocaleString("en")}${run.steps ? ` of ${run.steps.toLocaleString("en")}` : ""} steps`;
      const mean = recent?.length ? `return ${short(recent.reduce((a, b) => a + b) / recent.length)}` : "";
      about.replaceChildren(...[run.live ? el("span", { class: "live" }, "live") : null, [run.env, step, mean].filter(Boolean).join(" · ")].filter(Boolean).flatMap((x, i) => (i ? [" · ", x] : [x])));
      progress.hidden = !run.steps || run.step === undefined;
      progress.max = run.steps || 1;
      progress.value = Math.min(run.step ?? 0, run.steps || 1);
      if (item.parentNode !== list) list.append(item);
    }
  }

  item(run) {
    const box = el("input", { type: "checkbox", "aria-label": run.name, onchange: () => { run.ticked = box.checked; this.ask(); speak(`${run.name} ${box.checked ? "shown" : "hidden"}`); } });
    box.checked = run.ticked;
    run.about = el("span", { class: "about" });
    run.progress = el("progress", { "aria-label": "steps taken" });
    const play = el("a", { class: "go", href: `#dream=${encodeURIComponent(run.id)}` }, "Play its dreams");
    const item = el("li", { class: "run", title: run.size }, el("label", {}, box, el("span", { class: "name" }, run.name), run.about), run.progress, play);
    item.dataset.id = run.id;
    return styled(item, { "--color": run.color });
  }

  drawCharts(shown) {
    const weight = Number($("smoothing").value);
    const names = [...new Set(shown.flatMap((run) => [...run.metrics.keys()]))].filter((name) => !name.startsWith("time/")).sort();
    for (const name of names) if (!this.charts.has(name)) this.addChart(name);
    for (const [name, { chart }] of this.charts) {
      chart.show(shown.map((run) => ({ name: run.name, color: run.color, points: pointsOf(run, name) })), COUNTED.test(name) ? 0 : weight);
    }
    for (const group of $("groups").children) group.hidden = ![...group.querySelectorAll(".card")].some((card) => !card.hidden);
  }

  addChart(name) {
    const title = GROUPS.find(([, pattern]) => pattern.test(name))[0];
    const chart = new Chart(titled(name), { wide: title === "Return", note: name });
    this.charts.set(name, { chart });
    this.group(title).append(chart.root);
  }

  group(title) {
    const place = $("groups"), order = GROUPS.map(([name]) => name);
    const found = [...place.children].find((section) => section.dataset.title === title);
    if (found) return found.lastElementChild;
    const charts = el("div", { class: "charts" });
    const section = el("section", { class: "group", "aria-label": title }, el("h2", {}, title), charts);
    section.dataset.title = title;
    const after = [...place.children].find((other) => order.indexOf(other.dataset.title) > order.indexOf(title));
    place.insertBefore(section, after ?? null);
    return charts;
  }

  drawShares(shown) {
    const told = shown.filter((run) => run.metrics.has("time/learn"));
    $("shares-group").hidden = !told.length;
    $("shares").replaceChildren(...told.map((run) => this.shares(run)));
  }

  shares(run) {
    const parts = Object.entries(PARTS).map(([part, words], i) => [words, run.metrics.get(`time/${part}`)?.last ?? 0, `var(--s${i})`]);
    parts.push(["the rest", Math.max(0, 1 - parts.reduce((sum, part) => sum + part[1], 0)), "var(--s7)"]);
    const percent = (share) => `${Math.round(100 * share)}%`;
    return el("article", { class: "card share" },
      el("h3", {}, run.name),
      el("div", { class: "stack", "aria-hidden": "true" }, ...parts.map(([, share, color]) => styled(el("i"), { "flex-grow": share, background: color }))),
      el("ul", {}, ...parts.map(([words, share, color]) => styled(el("li", {}, `${words} ${percent(share)}`), { "--color": color }))));
  }

  drawFilms(shown) {
    const filmed = shown.filter((run) => run.films.length);
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
      const label = `Dream of ${run.name}: ${name}`;
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

function titled(name) {
  if (name in TITLES) return TITLES[name];
  const [room, rest] = name.split(/\/(.*)/);
  if (room === "loss") return LOSSES[rest] ?? `Loss: ${rest}`;
  if (room === "ent" || room === "rand") return `${room === "ent" ? "Entropy" : "Randomness"} of ${rest}`;
  return IMAGINED[name] ? IMAGINED[name][0].toUpperCase() + IMAGINED[name].slice(1) : name;
}

/** A metric that says that nothing went wrong needs no chart. */
function pointsOf(run, name) {
  const points = run.metrics.get(name);
  return points && ONLY_WHEN_NOT_ZERO.includes(name) && points.y.every((y) => y === 0) ? undefined : points;
}
