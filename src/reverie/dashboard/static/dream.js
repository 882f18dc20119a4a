// Playing a dream: the connection, the states reached so far, and how they are shown.

import { Controls } from "./controls.js";
import { $, distinct, el, paint, short, speak, svg } from "./dom.js";
import { neighbor, drawTree } from "./tree.js";

const WINDOW = 60; // steps that the small curves show
const MOST_QUEUED = 8; // requests that wait in line
const MOST = 24; // entries of observations that have a curve

export class DreamView {
  constructor() {
    this.states = new Map();
    this.playing = false;
    this.waiting = []; // resolvers of requests under way
    this.line = Promise.resolve(); // requests are met in order
    this.queued = 0;
    $("dream-open").addEventListener("click", () => this.open($("dream-run").value));
    $("dream-run").addEventListener("change", () => this.preview());
    $("play").addEventListener("click", () => (this.playing ? this.pause() : this.start()));
    $("rewind").addEventListener("click", () => this.by(() => this.go(0)));
    $("back").addEventListener("click", () => this.by(() => this.back()));
    $("forward").addEventListener("click", () => this.by(() => this.forward()));
    $("chance").addEventListener("change", () => this.begin(this.moment));
    $("seed").addEventListener("change", () => this.begin(this.moment));
    for (const radio of document.querySelectorAll("input[name=driver]")) radio.addEventListener("change", () => this.allow());
    $("player").addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.current && this.branches()).observe($("tree"));
  }

  /** The runs that can be opened. */
  offer(runs) {
    this.runs = runs;
    const key = JSON.stringify(runs.map((run) => [run.id, run.checkpoint !== null, run.films[0]]));
    if (key === this.offered) return;
    this.offered = key;
    const chosen = $("dream-run").value;
    $("dream-run").replaceChildren(...runs.map((run) => {
      const missing = run.checkpoint === null;
      const option = el("option", { value: run.id, disabled: missing }, missing ? `${run.name} (no checkpoint yet)` : run.name);
      return option;
    }));
    const wanted = this.wanted ?? chosen;
    if (runs.some((run) => run.id === wanted)) $("dream-run").value = wanted;
    $("dream-open").disabled = !runs.some((run) => run.checkpoint !== null);
    this.preview();
  }

  /** The newest film of the chosen run, while no dream is open. */
  preview() {
    const run = this.runs?.find(({ id }) => id === $("dream-run").value), open = !$("player").hidden && this.run?.run === run?.id;
    const name = open ? undefined : run?.films.find((film) => film.endsWith(".mp4")) ?? run?.films[0];
    $("preview").hidden = !name;
    if (!name) return;
    const source = `/film?${new URLSearchParams({ run: run.id, name })}`;
    if (source === this.previewed) return;
    this.previewed = source;
    const label = `Newest open-loop prediction of ${run.name}`;
    const film = name.endsWith(".mp4") ? el("video", { src: source, controls: true, loop: true, playsinline: true, "aria-label": label }) : el("img", { src: source, alt: label });
    film.muted = true;
    $("preview").replaceChildren(film, el("figcaption", { class: "hint" }, `${label}: what was recorded, what the model predicted without seeing it, and the error.`));
  }

  // Talking to the dashboard: one request at a time, answered in order.

  async connect() {
    if (this.socket?.readyState === WebSocket.OPEN) return;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/play`);
    socket.addEventListener("message", (event) => this.waiting.shift()?.resolve(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      if (this.socket !== socket) return;
      const reason = event.reason || "The connection to the dashboard closed; open the checkpoint again.";
      this.waiting.splice(0).forEach(({ reject }) => reject(new Error(reason)));
      this.pause();
      this.status(reason);
      this.socket = null;
    });
    this.socket = socket;
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("close", (event) => reject(new Error(event.reason || "The dashboard does not answer.")));
    });
  }

  async request(message) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) throw new Error("The dream has ended; open the checkpoint again.");
    const answer = await new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.socket.send(JSON.stringify(message));
    });
    if (answer.type === "error") throw new Error(answer.message);
    return answer;
  }

  status(text) {
    $("dream-status").textContent = text;
  }

  /** Do something that may fail, after earlier requests; an error shows as a sentence. */
  by(action) {
    if (this.queued >= MOST_QUEUED) return Promise.resolve(false); // keys repeat faster than a slow model dreams
    this.queued += 1;
    this.line = this.line.then(() => this.attempt(action)).finally(() => (this.queued -= 1));
    return this.line;
  }

  async attempt(action) {
    try {
      await action();
      return true;
    } catch (error) {
      this.pause();
      this.status(error.message);
      return false;
    }
  }

  // What people can do.

  open(run) {
    this.wanted = run;
    this.pause();
    if (!run) return this.status("There are no runs yet.");
    if ($("dream-run").value !== run) $("dream-run").value = run;
    return this.by(async () => {
      const since = performance.now();
      const tell = () => this.status(`Reading the newest checkpoint and compiling the model: ${Math.round((performance.now() - since) / 1000)} s. The first time takes up to a minute.`);
      tell();
      const telling = setInterval(tell, 1000);
      $("player").hidden = true;
      try {
        await this.connect();
        this.run = await this.request({ do: "open", run });
      } finally {
        clearInterval(telling);
      }
      this.controls = new Controls($("controls"), this.run.actions, () => this.act());
      this.drawMoments();
      this.drawStage();
      await this.beginNow(0);
      $("player").hidden = false;
      this.preview();
      this.show();
      this.status(this.about());
    });
  }

  /** Which checkpoint is open, and why it is not the newest. */
  about() {
    const { env_steps: steps, damaged } = this.run, words = `The agent after ${steps.toLocaleString("en")} environment steps.`;
    if (!damaged.length) return words;
    const newer = damaged.length === 1 ? "A newer checkpoint is" : `${damaged.length} newer checkpoints are`;
    return `${words} ${newer} damaged: ${damaged.join(" ")}`;
  }

  begin(moment) {
    if (!this.run) return false;
    this.pause();
    return this.by(async () => {
      await this.beginNow(moment);
      this.status(this.about());
    });
  }

  async beginNow(moment) {
    const seed = $("chance").checked ? Math.trunc(Number($("seed").value)) || 0 : null;
    $("seed").disabled = seed === null;
    this.states = new Map();
    this.follow = new Map(); // state → the child that was last gone to
    this.moment = moment;
    this.arrive(await this.request({ do: "begin", moment, seed }));
    [...$("moments").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === moment)));
  }

  driver() {
    return document.querySelector("input[name=driver]:checked").value;
  }

  /** One step forward, whoever acts. */
  async step() {
    const driver = this.driver();
    if (driver === "you") this.arrive(await this.request({ do: "step", action: this.controls.held }));
    else this.arrive(await this.request({ do: driver }));
  }

  /** A person's action; from now on it is they who act. */
  act() {
    document.querySelector("input[value=you]").checked = true;
    this.allow();
    if (this.playing) return; // it is done with the next step
    this.by(() => this.step());
  }

  async go(number) {
    this.arrive(await this.request({ do: "go", state: number }));
  }

  async back() {
    const { parent } = this.states.get(this.current.now);
    if (parent !== null) await this.go(parent);
  }

  /** To the state that came next before, or one step further. */
  async forward() {
    const child = this.follow.get(this.current.now);
    if (child === undefined) await this.step();
    else await this.go(child);
  }

  start() {
    this.playing = true;
    this.paintPlay();
    this.tick();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    clearTimeout(this.timer);
    this.paintPlay();
    if (!this.current) return;
    this.allow();
    this.say();
  }

  async tick() {
    const begun = performance.now();
    if (this.driver() === "recorded" && this.current && !this.current.recorded) return this.pause();
    if (!(await this.by(() => this.step()))) return;
    if (!this.playing) return;
    const left = 1000 / Number($("speed").value) - (performance.now() - begun);
    this.timer = setTimeout(() => this.tick(), Math.max(0, left));
  }

  key(event) {
    const at = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey || at.matches("select, input[type=number]")) return;
    const arrows = at.matches("input[type=range], input[type=radio]"), pressed = at.matches("button, summary, input");
    let done = true;
    if (event.key === " " && !pressed) this.playing ? this.pause() : this.start();
    else if (event.key === "ArrowLeft" && !arrows) this.by(() => this.back());
    else if (event.key === "ArrowRight" && !arrows) this.by(() => this.forward());
    else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !arrows) this.neighbor(event.key === "ArrowUp" ? -1 : 1);
    else if (event.key === "Home" && !arrows) this.by(() => this.go(0));
    else done = /^[1-9]$/.test(event.key) && this.controls.press(Number(event.key));
    if (done) event.preventDefault();
  }

  neighbor(direction) {
    const other = neighbor(this.states, this.current.now, direction);
    if (other !== undefined) this.by(() => this.go(other));
  }

  // What is shown.

  arrive(state) {
    this.current = state;
    this.states.set(state.now, state);
    for (let at = state; at.parent !== null; at = this.states.get(at.parent)) this.follow.set(at.parent, at.now);
    this.show();
  }

  show() {
    if ($("player").hidden) return;
    const { current } = this;
    this.way = [];
    for (let at = current; at; at = at.parent === null ? null : this.states.get(at.parent)) this.way.unshift(at);
    this.drawPictures(current);
    this.drawVectors();
    this.drawTimeline();
    this.drawReadings(current);
    this.branches();
    this.controls.show(current);
    if (this.driver() !== "you" && current.action) this.controls.hold(current.action);
    this.allow();
    if (!this.playing) this.say();
  }

  say() {
    const { time, reward, value, cont } = this.current;
    speak(`Step ${time}: reward ${near(reward)}, value ${near(value)}, continues with ${Math.round(100 * cont)}%`);
  }

  allow() {
    if (!this.current) return;
    const stuck = this.driver() === "recorded" && !this.current.recorded;
    $("play").disabled = stuck && !this.playing;
    $("forward").disabled = stuck && !this.follow.has(this.current.now);
    $("back").disabled = $("rewind").disabled = this.current.parent === null;
  }

  paintPlay() {
    $("play").textContent = this.playing ? "Pause" : "Play";
    $("play").setAttribute("aria-pressed", String(this.playing));
  }

  drawMoments() {
    const picture = Object.keys(this.run.observations).find((name) => this.run.observations[name].kind === "image");
    $("moments").replaceChildren(...this.run.moments.map(({ known, time, whole, return: sum, observation }, i) => {
      const step = whole ? `step ${time}` : `step ${time}+`, sums = `${whole ? "return" : `last ${time} rewards`} ${short(sum)}`, at = `${step}, ${sums}`;
      const words = `${at}; ${known} recorded ${known === 1 ? "step" : "steps"} after it`;
      const button = el("button", { type: "button", "aria-pressed": "false", "aria-label": `Moment ${i + 1}, ${words}`, title: words, onclick: () => this.begin(i) });
      if (!picture) button.append(el("span", { class: "words" }, `Moment ${i + 1}`, el("small", {}, at), el("small", {}, `${known} more recorded`)));
      else {
        const canvas = el("canvas");
        paint(canvas, observation[picture]);
        button.append(canvas, el("small", {}, step), el("small", {}, whole ? sums : ""));
      }
      return button;
    }));
  }

  /** A pair of pictures for each image, a curve for each number. */
  drawStage() {
    const features = Object.entries(this.run.observations), images = features.filter(([, f]) => f.kind === "image");
    this.pictures = images.map(([name]) => {
      const make = (kind, title) => {
        const canvas = el("canvas", { role: "img", width: 64, height: 64 }), note = el("span");
        const words = images.length > 1 ? `${title}: ${name}` : title;
        const root = el("figure", { class: `picture ${kind}` }, el("figcaption", {}, words, note), canvas);
        return { canvas, note, root, words };
      };
      return { name, dreamed: make("dreamed", "Dreamed"), real: make("real", "Recorded") };
    });
    $("pictures").replaceChildren(...this.pictures.flatMap(({ dreamed, real }) => [dreamed.root, real.root]));
    this.vectors = [];
    for (const [name, feature] of features.filter(([, f]) => f.kind !== "image")) {
      const size = feature.shape.reduce((a, b) => a * b, 1);
      for (let i = 0; i < size && this.vectors.length < MOST; i++) this.vectors.push(curve(size > 1 ? `${name} ${i}` : name, (at) => at.observation[name][i]));
    }
    const left = features.filter(([, f]) => f.kind !== "image").reduce((sum, [, f]) => sum + f.shape.reduce((a, b) => a * b, 1), 0) - this.vectors.length;
    const legend = el("p", { class: "legend" }, el("span", {}, "dreamed"), el("span", { class: "real" }, "recorded"), left > 0 ? el("i", {}, `and ${left} more numbers`) : null);
    $("vectors").replaceChildren(...(this.vectors.length ? [legend] : []), ...this.vectors.map((v) => v.root));
    this.curves = [["Reward", "reward"], ["Value", "value"], ["Continues", "cont"]].map(([title, name]) => curve(title, (at) => at[name]));
    $("timeline").replaceChildren(...this.curves.map((c) => c.root));
  }

  drawPictures({ observation, truth, time }) {
    for (const { name, dreamed, real } of this.pictures) {
      paint(dreamed.canvas, observation[name]);
      dreamed.note.textContent = `step ${time}`;
      dreamed.canvas.setAttribute("aria-label", `${dreamed.words}, step ${time}`);
      real.root.classList.toggle("unknown", !truth);
      if (truth) paint(real.canvas, truth.observation[name]);
      real.note.textContent = truth ? (truth.ended ? "the episode ended" : `${short(100 * truth.error[name])}% off`) : "not known";
      real.canvas.setAttribute("aria-label", truth ? `${real.words}, step ${time}` : "Recorded: not known after these actions");
    }
  }

  drawVectors() {
    this.vectors.forEach((vector) => vector.show(this.way));
  }

  drawTimeline() {
    this.curves.forEach((c) => c.show(this.way));
  }

  drawReadings({ reward, value, cont, truth }) {
    const percent = (x) => (x === null ? "–" : `${(100 * x).toFixed(x > 0.995 || x < 0.005 ? 0 : 1)}%`);
    const reading = (title, text, note) => el("div", {}, el("dt", {}, title), el("dd", {}, text, el("small", {}, note)));
    $("readings").replaceChildren(
      reading("Reward", near(reward), truth ? `recorded ${near(truth.reward)}` : ""),
      reading("Value", near(value), ""),
      reading("Continues", percent(cont), truth ? (truth.ended ? "the episode ended" : "it did") : ""));
  }

  branches() {
    const way = new Set(this.way.map((at) => at.now));
    drawTree($("tree"), this.states, this.current.now, way, (number) => { this.pause(); this.by(() => this.go(number)); });
    const hint = this.states.size > 1 ? "click a state to return to it" : "states appear here; go back and act differently to branch off";
    $("branches-hint").textContent = hint;
  }
}

/** A small moving curve of one number along the path to the current state, dreamed and recorded. */
function curve(title, read) {
  const value = el("b"), dreamed = svg("path", { class: "dreamed-line" }), real = svg("path", { class: "real-line" });
  const picture = svg("svg", { viewBox: "0 0 100 70", preserveAspectRatio: "none", "aria-hidden": "true" }, real, dreamed);
  const zero = svg("path", { class: "zero" });
  picture.prepend(zero);
  const top = el("span", { class: "end" }), bottom = el("span", { class: "end" }), first = el("span"), last = el("span");
  const root = el("figure", { class: "vector" }, el("h3", {}, title, value), el("div", { class: "axes" }, el("div", { class: "up" }, top, bottom), picture), el("div", { class: "across" }, first, last));
  const show = (way) => {
    const seen = way.slice(-WINDOW), ours = seen.map(read), theirs = seen.map((at) => (at.truth && title !== "Value" ? realOf(at, read, title) : null));
    const all = [...ours, ...theirs].filter((v) => v !== null && v !== undefined);
    let [low, high] = [Math.min(...all), Math.max(...all)];
    const least = Math.max(0.02, 0.05 * Math.max(Math.abs(low), Math.abs(high)));
    if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
    const x = (i) => (100 * i) / Math.max(12, seen.length - 1), y = (v) => 66 - 62 * ((v - low) / (high - low));
    const path = (list) => list.map((v, i) => (v === null || v === undefined ? "" : `${i && list[i - 1] !== null ? "L" : "M"}${x(i).toFixed(2)} ${y(v).toFixed(2)}`)).join("");
    dreamed.setAttribute("d", path(ours) + (ours.length === 1 ? "h1" : ""));
    real.setAttribute("d", path(theirs));
    zero.setAttribute("d", low < 0 && high > 0 ? `M0 ${y(0)}H100` : "");
    [bottom.textContent, top.textContent] = short(low) === short(high) ? distinct([low, high]) : [short(low), short(high)];
    first.textContent = `step ${seen[0].time}`;
    last.textContent = seen.length > 12 ? String(seen[seen.length - 1].time) : String(seen[0].time + 12);
    value.textContent = near(ours[ours.length - 1]);
  };
  return { root, show };
}

/** A prediction; what is smaller than its precision shows as 0. */
function near(x) {
  return short(x !== null && Math.abs(x) < 5e-4 ? 0 : x);
}

function realOf(at, read, title) {
  if (title === "Continues") return at.truth.ended ? 0 : 1;
  return read(at.truth) ?? null;
}
