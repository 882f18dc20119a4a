// The tree of a dream: time runs from left to right, each branch has a lane, and a click returns to a state.

import { svg } from "./dom.js";

const LANE = 22, EDGE = 14;

/** The lane of each state, in the order in which branches began. `states`: by number, with `parent` and `time`. */
function lanes(states) {
  const lane = new Map([[0, 0]]), taken = new Set();
  let next = 1;
  for (const [number, state] of [...states].sort((a, b) => a[0] - b[0])) {
    if (state.parent === null) continue;
    lane.set(number, taken.has(state.parent) ? next++ : lane.get(state.parent));
    taken.add(state.parent);
  }
  return { lane, count: next };
}

/** Draw into `place`. `way`: the states that lead to `now`; `go` is called with the number of a clicked state. */
export function drawTree(place, states, now, way, go) {
  const { lane, count } = lanes(states);
  const last = Math.max(1, ...[...states.values()].map((state) => state.time));
  const step = Math.min(34, Math.max(9, (place.clientWidth - 2 * EDGE - 4) / last));
  const x = (state) => EDGE + state.time * step, y = (number) => EDGE + lane.get(number) * LANE;
  const radius = Math.min(5.5, step / 2.6);
  const root = svg("svg", { width: 2 * EDGE + last * step, height: 2 * EDGE + (count - 1) * LANE, "aria-hidden": "true" });
  const dots = svg("g");
  for (const [number, state] of states) {
    const on = way.has(number) ? " way" : "";
    if (state.parent !== null) {
      const from = states.get(state.parent), bend = x(from) + step * 0.5;
      const d = `M${x(from)} ${y(state.parent)}C${bend} ${y(state.parent)} ${bend} ${y(number)} ${x(state)} ${y(number)}`;
      const line = svg("path", { class: on.trim(), d });
      if (on) root.append(line);
      else root.prepend(line);
    }
    const kind = `${state.truth ? "real" : ""}${on}${number === now ? " now" : ""}`;
    dots.append(svg("circle", { class: kind.trim(), cx: x(state), cy: y(number), r: number === now ? radius + 1.5 : radius, onclick: () => go(number) },
      svg("title", {}, `step ${state.time}`)));
  }
  root.append(dots);
  place.replaceChildren(root);
  const here = states.get(now);
  if (x(here) < place.scrollLeft + 40 || x(here) > place.scrollLeft + place.clientWidth - 40) place.scrollLeft = x(here) - place.clientWidth / 2;
  if (y(now) < place.scrollTop + 20 || y(now) > place.scrollTop + place.clientHeight - 20) place.scrollTop = y(now) - place.clientHeight / 2;
}

/** The state at the same time in the next or previous lane. */
export function neighbor(states, now, direction) {
  const { lane } = lanes(states), time = states.get(now).time;
  const same = [...states].filter(([, state]) => state.time === time).map(([number]) => number);
  same.sort((a, b) => lane.get(a) - lane.get(b));
  return same[same.indexOf(now) + direction];
}
