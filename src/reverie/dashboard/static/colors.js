// Colors for any number of lines: those of the page first, then hues that never repeat.

const NAMED = 8; // --s0 to --s7 of the style sheet

/** The color of a number, in the theme that the page has now. */
export function colorOf(number) {
  const style = getComputedStyle(document.documentElement);
  if (number < NAMED) return style.getPropertyValue(`--s${number}`).trim();
  const dark = style.colorScheme === "dark", turn = (number * 137.508) % 360;
  const light = (dark ? 62 : 34) + 6 * (number % 3);
  return `hsl(${turn.toFixed(1)} ${50 + 10 * (number % 4)}% ${light}%)`;
}

/** Assigns each key the lowest free number, for as long as the key is in use. */
export class Numbers {
  constructor() {
    this.taken = new Map();
  }

  assign(keys) {
    const wanted = new Set(keys);
    for (const key of this.taken.keys()) if (!wanted.has(key)) this.taken.delete(key);
    const used = new Set(this.taken.values());
    let next = 0;
    for (const key of wanted) {
      if (this.taken.has(key)) continue;
      while (used.has(next)) next += 1;
      used.add(next);
      this.taken.set(key, next);
    }
    return this.taken;
  }
}
