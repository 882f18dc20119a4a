// The page: which view is open, in which colors.

import { Curves } from "./curves.js";
import { $ } from "./dom.js";
import { DreamView } from "./dream.js";

const curves = new Curves();
const dream = new DreamView();
curves.onRuns((runs) => dream.offer(runs));

/** `#curves`, `#dream`, or `#dream=RUN` to open a run's dreams at once. */
function route() {
  const [view, run] = location.hash.slice(1).split("=");
  const name = view === "dream" ? "dream" : "curves";
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "dream" ? "Dream · Reverie" : "Reverie";
  if (name === "dream" && run) dream.open(decodeURIComponent(run));
  if (name !== "dream") dream.pause();
}

const THEMES = { "": ["◐", "like the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function paintTheme(theme) {
  const [sign, words] = THEMES[theme];
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  $("theme").textContent = sign;
  $("theme").setAttribute("aria-label", `Colors: ${words}`);
  $("theme").title = `Colors: ${words}`;
}

let theme = localStorage.getItem("theme") ?? "";
if (!(theme in THEMES)) theme = "";
paintTheme(theme);
$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  localStorage.setItem("theme", theme);
  paintTheme(theme);
  document.dispatchEvent(new Event("themechange"));
});
addEventListener("hashchange", route);
route();
