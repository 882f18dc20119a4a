// What is known of metrics: their titles and units, the groups in which they are shown, and their order.

/** In the order in which people ask; a metric is in the first group whose pattern it matches. */
export const GROUPS = [
  { title: "Return", pattern: /^episode\/return$/, open: true },
  { title: "Evaluation", pattern: /^eval\//, open: true },
  { title: "Episodes", pattern: /^(episode\/|episodes$)/, open: false },
  { title: "Losses", pattern: /^(loss\/|opt\/loss)/, open: false },
  { title: "Open-loop prediction", pattern: /^open_loop\//, open: false },
  { title: "Imagination", pattern: /^(ret|val|adv|rew|con|weight|tar|slowval)/, open: false },
  { title: "Policy", pattern: /^(ent|rand)\//, open: false },
  { title: "World model", pattern: /^(dyn_ent|rep_ent)/, open: false },
  { title: "Speed", pattern: /^(rate|latency)\//, open: false },
  { title: "Replay buffer", pattern: /^replay\//, open: false },
  { title: "Memory", pattern: /^memory\//, open: false },
  { title: "Optimizer", pattern: /^(opt\/|updates)/, open: false },
  { title: "More", pattern: /(?!^time\/|^step$)/, open: false },
];

const TITLES = {
  __proto__: null, // names come from files, and could be those of an object's own methods
  "episode/return": "Return of training episodes", "episode/length": "Episode length", episodes: "Episodes", updates: "Updates",
  "eval/return": "Return of evaluation episodes", "eval/return_std": "Standard deviation of evaluation returns",
  "eval/length": "Length of evaluation episodes", "eval/episodes": "Evaluation episodes",
  "opt/loss": "Total loss, weighted", "opt/grad_norm": "Gradient norm", "opt/grad_rms": "Gradient RMS", "opt/update_rms": "Update RMS",
  "opt/param_rms": "Parameter RMS", "opt/skipped": "Skipped updates",
  "rate/env_steps": "Environment steps per second", "rate/updates": "Updates per second", "latency/act_ms": "Acting latency (ms)",
  "replay/records": "Records in the replay buffer", "replay/bytes": "Replay buffer (GiB)",
  "memory/host_bytes": "Host memory (GiB)", "memory/device_bytes": "Device memory (GiB)",
  dyn_ent: "Entropy of the prior", rep_ent: "Entropy of the posterior", frames: "Frames", "env/restarts": "Environment restarts",
  ret: "Imagined return, normalized", ret_min: "Smallest imagined return, normalized", ret_max: "Largest imagined return, normalized",
  ret_rate: "Share of returns at or beyond ±1", val: "Imagined value", slowval: "Imagined value of the slow critic", tar: "Imagined λ-return",
  adv: "Advantage", adv_std: "Standard deviation of the advantage", adv_mag: "Magnitude of the advantage",
  rew: "Imagined reward", con: "Imagined continuation", weight: "Weight of imagined steps",
};
const LOSSES = {
  __proto__: null,
  con: "continuation", dyn: "dynamics", rep: "representation", rew: "reward", policy: "policy", value: "value", repval: "value on replay",
};
const GIB = 2 ** 30;
const BYTES = /bytes$/;
const COUNTED = /^(episodes$|updates$|frames$|replay\/|env\/restarts)/;
const IN_REWARDS = /^(episode\/|eval\/|rew$|val$|tar$|slowval$|ret)/;
const ONLY_WHEN_NOT_ZERO = new Set(["env/restarts", "opt/skipped"]);

export function titleOf(name) {
  if (name in TITLES) return TITLES[name];
  const [room, rest] = name.split(/\/(.*)/);
  if (name.startsWith("loss/observation/")) return `Loss: observation ${rest.slice(12)}`;
  if (name.startsWith("episode/info/")) return `At the end of an episode: ${rest.slice(5)}`;
  if (room === "loss") return `Loss: ${LOSSES[rest] ?? rest}`;
  if (room === "ent") return `Policy entropy: ${rest}`;
  if (room === "rand") return `Policy randomness: ${rest}`;
  if (room === "open_loop") {
    const at = rest.lastIndexOf("/"), key = rest.slice(0, at), horizon = rest.slice(at + 1);
    return `Open-loop loss: ${LOSSES[key] ?? key}, ${horizon} ${horizon === "1" ? "step" : "steps"} ahead`;
  }
  const words = name.replaceAll(/[_/]+/g, " ");
  return words[0].toUpperCase() + words.slice(1);
}

export const groupOf = (name) => GROUPS.find(({ pattern }) => pattern.test(name)).title;

/** A value in the unit of the title. */
export const inUnit = (name, value) => (BYTES.test(name) ? value / GIB : value);

/** What only grows isn't smoothed. */
export const isCounted = (name) => COUNTED.test(name);

/** Whether environments must not share an axis. */
export const isPerEnvironment = (name) => IN_REWARDS.test(name);

/** Metrics that tell of problems need no chart while there are none. */
export const isShown = (name, points) => !ONLY_WHEN_NOT_ZERO.has(name) || points.y.some((y) => y !== 0);

/** By name, with numbers in them in numeric order. */
export const byName = new Intl.Collator("en", { numeric: true }).compare;
