// The list of runs: search, groups, which of them are shown, and in what they differ.

import { $, el, speak, styled } from "./dom.js";
import { byName } from "./metrics.js";

const TICKED = 4; // runs that are shown from the beginning

export class RunList {
  /** `changed` is called when other runs are to be shown, or in other groups. */
  constructor(changed) {
    this.runs = new Map(); // id → what is known of it
    this.changed = changed;
    this.closed = new Set(); // keys of groups that are folded
    $("search").addEventListener("input", () => this.render());
    $("group-by").addEventListener("change", () => { this.render(); changed(); });
    $("select-all").addEventListener("click", () => this.tick(this.found(), true));
    $("select-none").addEventListener("click", () => this.tick(this.found(), false));
    $("differences").addEventListener("toggle", () => this.compare());
  }

  get ticked() {
    return [...this.runs.values()].filter((run) => run.ticked);
  }

  /** What the dashboard lists now. */
  update(folder, listed) {
    const first = !this.runs.size, ids = new Set(listed.map((run) => run.id));
    for (const id of this.runs.keys()) if (!ids.has(id)) this.runs.delete(id);
    let shown = 0;
    for (const found of listed) {
      let run = this.runs.get(found.id);
      if (!run) {
        const wanted = !found.problem && (first ? shown++ < TICKED : found.state === "live");
        run = { ticked: wanted, metrics: new Map(), cursor: "", read: -1 };
        this.runs.set(found.id, run);
      }
      Object.assign(run, found);
      if (run.problem) run.ticked = false;
      run.name = found.id === "." ? folder.split("/").pop() : found.id;
    }
    $("no-runs").hidden = listed.length > 0;
    this.render();
  }

  /** The group of a run: its key and its name. Environments never share one. */
  groupOf(run) {
    const by = $("group-by").value;
    const name = { settings: run.group === "default" ? "" : run.group, environment: "", folder: run.folder, none: run.name }[by];
    return { key: JSON.stringify([by, run.env, name]), name: [run.env ?? "unknown environment", name].filter(Boolean).join(" · ") };
  }

  /** The groups of some runs, in the order of their names. */
  groups(runs) {
    const groups = new Map();
    for (const run of runs) {
      const { key, name } = this.groupOf(run);
      if (!groups.has(key)) groups.set(key, { key, name, runs: [] });
      groups.get(key).runs.push(run);
    }
    return [...groups.values()].sort((a, b) => byName(a.name, b.name));
  }

  /** The runs that the search matches: each of its words is in a run's name, environment, settings or state. */
  found() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    return [...this.runs.values()].filter((run) => {
      const text = [run.name, run.env, run.group, run.state].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  tick(runs, ticked) {
    for (const run of runs) run.ticked = ticked && !run.problem;
    this.render();
    this.changed();
    speak(`${this.ticked.length} runs shown`);
  }

  render() {
    const found = this.found(), alone = $("group-by").value === "none";
    const groups = alone ? [{ key: "all", name: "", runs: found }] : this.groups(found);
    const key = JSON.stringify(groups.map((group) => [group.key, group.runs.map((run) => run.id)]));
    if (key !== this.drawn) {
      this.drawn = key;
      this.parts = groups.map((group) => this.part(group, alone));
      $("runs").replaceChildren(...this.parts.map((part) => part.root));
    }
    for (const part of this.parts) this.refresh(part);
    for (const run of found) this.describe(run);
    $("count").textContent = `${this.ticked.length} of ${this.runs.size} shown${found.length < this.runs.size ? `, ${found.length} found` : ""}`;
    if ($("differences").open) this.compare();
  }

  part(group, alone) {
    const around = alone ? 0 : commonFolder(group.runs.map((run) => run.name));
    const list = el("ul", { class: "runs" }, ...group.runs.map((run) => this.item(run, around)));
    if (alone) return { ...group, root: el("li", {}, list) };
    const box = el("input", { type: "checkbox", "aria-label": `All runs of ${group.name}`, onchange: () => this.tick(group.runs, box.checked) });
    const details = el("details", { open: !this.closed.has(group.key), ontoggle: () => (details.open ? this.closed.delete(group.key) : this.closed.add(group.key)) },
      el("summary", {}, el("span", { class: "name" }, group.name), el("span", { class: "size" }, String(group.runs.length))), list);
    return { ...group, box, root: el("li", { class: "of-runs" }, box, details) };
  }

  refresh({ box, runs, root }) {
    if (!box) return;
    const ticked = runs.filter((run) => run.ticked).length;
    box.checked = ticked > 0 && ticked === runs.filter((run) => !run.problem).length;
    box.indeterminate = ticked > 0 && !box.checked;
    box.disabled = runs.every((run) => run.problem);
    styled(root, { "--color": runs.find((run) => run.ticked)?.color ?? "transparent" });
  }

  /** `around`: how much of its name to leave out, which all runs of its group share. */
  item(run, around) {
    const box = el("input", { type: "checkbox", "aria-label": run.name, onchange: () => { this.tick([run], box.checked); speak(`${run.name} ${box.checked ? "shown" : "hidden"}`); } });
    const state = el("span", { class: "state" }), about = el("span", {}), progress = el("progress", { "aria-label": "steps taken" });
    const play = el("a", { class: "go", href: `#dream=${encodeURIComponent(run.id)}` }, "Play its dreams");
    const root = el("li", { class: "run" }, el("label", {}, box, el("span", { class: "name", title: run.name }, run.name.slice(around)), el("span", { class: "about" }, state, about)), progress, play);
    run.view = { root, box, state, about, progress, play, said: "" };
    return root;
  }

  describe(run) {
    const { root, box, state, about, progress, play } = run.view;
    const said = JSON.stringify([run.ticked, run.state, run.step, run.steps, run.color, run.problem, run.checkpoint]);
    if (said === run.view.said) return;
    run.view.said = said;
    box.checked = run.ticked;
    box.disabled = Boolean(run.problem);
    root.title = run.size;
    state.textContent = run.state;
    state.className = `state ${run.state.replace(" ", "-")}`;
    const steps = run.step === null ? "no steps yet" : `${run.step.toLocaleString("en")} of ${run.steps?.toLocaleString("en")} steps`;
    about.textContent = ` · ${run.problem ?? steps}`;
    progress.hidden = !run.steps || run.step === null || run.state === "finished";
    progress.max = run.steps || 1;
    progress.value = Math.min(run.step ?? 0, run.steps || 1);
    play.hidden = run.checkpoint === null;
    styled(root, { "--color": run.ticked ? run.color ?? "transparent" : "transparent" });
  }

  /** The settings in which the ticked runs differ, as a table. */
  compare() {
    const runs = this.ticked.sort((a, b) => byName(a.name, b.name)), all = runs.map((run) => ({ env: run.env ?? "–", ...run.settings }));
    const names = [...new Set(all.flatMap(Object.keys))].filter((name) => new Set(all.map((settings) => settings[name])).size > 1).sort(byName);
    const key = JSON.stringify([runs.map((run) => run.id), names]);
    if (!$("differences").open || key === this.compared) return;
    this.compared = key;
    const head = el("tr", {}, el("th", {}, "run"), ...names.map((name) => el("th", {}, name)));
    const rows = runs.map((run, i) => el("tr", {}, el("th", {}, run.name), ...names.map((name) => el("td", {}, all[i][name] ?? "–"))));
    const words = runs.length < 2 ? "Tick two runs or more to compare them." : "These runs have the same settings.";
    $("differences-table").replaceChildren(names.length ? el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)) : el("p", { class: "hint" }, words));
  }
}

/** The length of the folder that all names begin with. */
function commonFolder(names) {
  if (names.length < 2) return 0;
  const parts = names.map((name) => name.split("/").slice(0, -1));
  let same = 0;
  while (parts.every((part) => part.length > same && part[same] === parts[0][same])) same += 1;
  return parts[0].slice(0, same).reduce((sum, part) => sum + part.length + 1, 0);
}
