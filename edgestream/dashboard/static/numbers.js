// How numbers are shown, and what is not a number.

export const DASH = "–";

export function count(n) {
  return n === null || n === undefined ? DASH : n.toLocaleString("en").replaceAll(",", "\u202f");
}

export function fixed(x, digits) {
  return x === null || x === undefined || !Number.isFinite(x) ? DASH : x.toFixed(digits);
}

export function rate(x) {
  return x === null || x === undefined ? DASH : x >= 10 ? count(Math.round(x)) : x.toFixed(1);
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

// A time, s since 1970, by the viewer's clock.
export function moment(seconds) {
  return seconds ? new Date(1000 * seconds).toLocaleString("sv") : DASH;
}

// Round steps for an axis: at most n of them between low and high.
export function ticks(low, high, n) {
  const rough = (high - low) / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let x = Math.ceil(low / step) * step; x <= high + step * 1e-9; x += step) found.push(x);
  return { values: found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}
