// Small helpers that every part of the page uses.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** A new element: attributes, then children. Text is never parsed as HTML. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Set style properties, which the page's security policy forbids in markup. */
export function styled(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
  return node;
}

/** A number in a few digits. */
export function short(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size >= 1e15) return x.toExponential(2);
  if (size >= 1e6) return `${trimmed(x / 1e6, 2)}M`;
  if (size >= 1e4) return `${trimmed(x / 1e3, 1)}k`;
  if (size >= 100) return Math.round(x).toLocaleString("en");
  if (size >= 1) return trimmed(x, 2);
  if (size >= 1e-3 || size === 0) return trimmed(x, 3);
  return x.toExponential(1);
}

function trimmed(x, digits) {
  const text = x.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Labels of evenly spaced numbers, with enough digits to differ. */
export function distinct(values) {
  if (values.length < 2) return values.map(short);
  const largest = Math.max(...values.map(Math.abs)), step = Math.abs(values[1] - values[0]);
  if (largest >= 1e15 || largest < 1e-4) return values.map((v) => (v === 0 ? "0" : v.toExponential(Math.min(15, Math.max(0, Math.ceil(Math.log10(largest / step)))))));
  const [unit, sign] = largest >= 1e9 ? [1e9, "G"] : largest >= 1e6 ? [1e6, "M"] : largest >= 1e4 ? [1e3, "k"] : [1, ""];
  const digits = Math.min(20, Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9)));
  return values.map((v) => `${(v / unit).toFixed(digits)}${sign}`.replace(/^-?(0(\.0*)?)[A-Za-z]?$/, "0"));
}

/** Hand a file to the browser to save. */
export function save(name, blob) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name.replaceAll(/[^\p{L}\p{N}._ -]+/gu, "-") }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The JSON at an address of the dashboard; throws an Error with a sentence if there is none. */
export async function json(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error("The dashboard does not answer. Is its command still running?");
  }
  const text = await answer.text();
  let data = {};
  try {
    data = JSON.parse(text);
  } catch {
    data = { error: text };
  }
  if (!answer.ok) throw new Error(data.error || `The dashboard answered ${answer.status}.`);
  return data;
}

/** Announce a text to screen readers. */
export function speak(text) {
  $("spoken").textContent = text;
}

/** Show an error message; an empty text hides it. */
export function complain(text) {
  const place = $("problem");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

/** Decoded pixels onto a canvas. */
export function paint(canvas, image) {
  const bytes = Uint8Array.from(atob(image.pixels), (c) => c.charCodeAt(0));
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  const context = canvas.getContext("2d");
  const data = context.createImageData(image.width, image.height);
  for (let i = 0, j = 0; i < data.data.length; i += 4, j += image.channels) {
    data.data[i] = bytes[j];
    data.data[i + 1] = bytes[j + (image.channels > 1 ? 1 : 0)];
    data.data[i + 2] = bytes[j + (image.channels > 1 ? 2 : 0)];
    data.data[i + 3] = 255;
  }
  context.putImageData(data, 0, 0);
}
