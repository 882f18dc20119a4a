// The controls of a dream: a button per class of a discrete action, a slider per number of a continuous one. Both
// show what the policy would do.

import { el, short, styled, svg } from "./dom.js";

export class Controls {
  /** `features`: the run's actions; `act` is called when a single press completes an action. */
  constructor(place, features, act) {
    this.features = features;
    this.held = {};
    this.parts = [];
    const names = Object.keys(features);
    this.alone = names.length === 1;
    this.single = names.length === 1 && features[names[0]].kind === "classes" && count(features[names[0]]) === 1;
    this.act = act;
    place.replaceChildren(...names.map((name) => this.group(name, features[name])));
    if (!this.single) place.append(el("button", { type: "button", class: "primary", onclick: () => act() }, "Do this"));
  }

  group(name, feature) {
    this.held[name] = nested(Array(count(feature)).fill(0), feature.shape);
    const entries = [...Array(count(feature)).keys()];
    const make = feature.kind === "classes" ? (i) => this.choices(name, feature, i) : (i) => this.slider(name, feature, i);
    return el("div", { role: "group", "aria-label": `Action ${name}` }, el("h3", {}, this.alone ? "Act" : name), ...entries.map(make));
  }

  set(name, entry, value) {
    const flat = [this.held[name]].flat(Infinity);
    flat[entry] = value;
    this.held[name] = nested(flat, this.features[name].shape);
  }

  choices(name, feature, entry) {
    const classes = feature.counts ? feature.counts[entry] : feature.classes;
    const buttons = [...Array(classes).keys()].map((value) => {
      const share = el("span", { class: "share" }), bar = el("i");
      const words = el("span", {}, this.single && value < 9 ? el("kbd", {}, String(value + 1)) : null, ` action ${value}`);
      const button = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.choose(name, entry, value) }, bar, words, share);
      return { button, share, words };
    });
    this.parts.push({ name, entry, classes, buttons });
    return el("div", { class: "choices", role: "group", "aria-label": `${name} ${count(feature) > 1 ? entry : ""}` }, ...buttons.map((b) => b.button));
  }

  choose(name, entry, value) {
    this.set(name, entry, value);
    this.mark();
    if (this.single) this.act();
  }

  slider(name, feature, entry) {
    const low = feature.low[entry], high = feature.high[entry];
    const inUnits = (x) => short(low + ((x + 1) / 2) * (high - low));
    const value = el("b"), path = svg("path", {});
    const density = svg("svg", { class: "density", viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" }, path);
    const input = el("input", { type: "range", min: -1, max: 1, step: 0.01, value: 0, "aria-label": `${name} ${entry}` });
    const update = () => {
      value.textContent = inUnits(Number(input.value));
      input.setAttribute("aria-valuetext", value.textContent);
    };
    input.addEventListener("input", () => { this.set(name, entry, Number(input.value)); update(); });
    update();
    this.parts.push({ name, entry, input, path, update });
    const label = count(feature) > 1 ? `${name} ${entry}` : name;
    return el("div", { class: "slider" }, el("div", { class: "head" }, el("span", {}, label), value), density, input,
      el("div", { class: "ends" }, el("span", {}, short(low)), el("span", {}, short(high))));
  }

  /** Digit keys, where one press completes an action. */
  press(digit) {
    const [part] = this.parts;
    if (!this.single || digit < 1 || digit > part.classes) return false;
    this.choose(part.name, 0, digit - 1);
    return true;
  }

  /** What the policy would do in a state, and what was done in the recording. */
  show(state) {
    for (const part of this.parts) {
      const policy = state.policy[part.name];
      if (part.buttons) this.showShares(part, policy, state.recorded?.[part.name]);
      else part.path.setAttribute("d", bell(policy.mean[part.entry], policy.std[part.entry]));
    }
    this.mark();
  }

  showShares(part, policy, recorded) {
    const width = this.features[part.name].classes;
    const really = recorded === undefined ? undefined : [recorded].flat(Infinity)[part.entry];
    part.buttons.forEach(({ button, share }, value) => {
      const probability = policy.probs[part.entry * width + value] ?? 0;
      share.textContent = `${Math.round(100 * probability)}%`;
      styled(button, { "--share": probability });
      button.classList.toggle("really", really === value);
      button.title = really === value ? "the recorded action" : "";
    });
  }

  mark() {
    for (const { name, entry, buttons } of this.parts) {
      buttons?.forEach(({ button }, value) => {
        const held = [this.held[name]].flat(Infinity)[entry] === value;
        button.classList.toggle("taken", held);
        button.setAttribute("aria-pressed", String(held));
      });
    }
  }

  /** Take over an action, so that a person can continue from it. */
  hold(action) {
    for (const { name, entry, input, update } of this.parts) {
      const value = [action[name]].flat(Infinity)[entry];
      this.set(name, entry, input ? Math.min(1, Math.max(-1, value)) : value);
      if (input) {
        input.value = value;
        update();
      }
    }
    this.mark();
  }
}

const count = (feature) => feature.shape.reduce((a, b) => a * b, 1);

/** A flat list in a shape; a number for (). */
function nested(flat, shape) {
  if (!shape.length) return flat[0];
  const size = flat.length / shape[0];
  return [...Array(shape[0]).keys()].map((i) => nested(flat.slice(i * size, (i + 1) * size), shape.slice(1)));
}

/** The outline of a normal distribution over -1 … 1, in a box of 100 by 26. */
function bell(mean, std) {
  if (mean === null || std === null) return "";
  const points = [...Array(51).keys()].map((i) => {
    const x = -1 + i / 25, z = (x - mean) / std;
    return `${2 * i} ${(26 - 24 * Math.exp(-0.5 * z * z)).toFixed(2)}`;
  });
  return `M0 26L${points.join("L")}L100 26Z`;
}
