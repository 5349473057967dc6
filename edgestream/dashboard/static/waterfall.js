// Spectra over time as an image: energy to the right, frames upwards. A canvas of our own.

import { fixed, ticks } from "./numbers.js";
import { INK, RAMPS } from "./palette.js";

const MARGIN = { left: 62, right: 10, top: 8, bottom: 40 };
const MISSING = 65535;

// The image of a history as rows of numbers, NaN where nothing is known.
export function unpack(history) {
  const { image, rows, low, high } = history.waterfall;
  const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
  const packed = new DataView(bytes.buffer);
  const n = history.energy.length;
  const values = new Float32Array(rows * n);
  for (let i = 0; i < values.length; i++) {
    const word = packed.getUint16(2 * i, true);
    values[i] = word === MISSING ? NaN : low + (word / (MISSING - 1)) * (high - low);
  }
  return values;
}

export class Waterfall {
  // zoomedTo(first, end): finer rows of these frames are wanted; picked(frame): somebody clicked
  constructor(place, { zoomedTo, picked, scaled }) {
    Object.assign(this, { place, zoomedTo, picked, scaled });
    this.canvas = document.createElement("canvas");
    this.box = document.createElement("div");
    this.box.className = "box";
    this.box.hidden = true;
    this.readout = document.createElement("div");
    this.readout.className = "readout";
    place.append(this.canvas, this.box, this.readout);
    place.tabIndex = 0;
    place.setAttribute("role", "img");
    this.view = null; // {low, high} energies and {first, end} frames; null: all
    this.minus = null;
    this.listen();
    new ResizeObserver(() => this.draw()).observe(place);
  }

  show(history, minus) {
    this.history = history;
    this.values = unpack(history);
    this.minus = minus;
    this.draw();
  }

  get shown() {
    const { energy, waterfall } = this.history;
    const whole = { low: energy[0], high: energy[energy.length - 1], first: waterfall.first, end: waterfall.end };
    return { ...whole, ...(this.view || {}) };
  }

  // -- drawing ---------------------------------------------------------------------------------

  draw() {
    if (!this.history || !this.history.waterfall.rows) return;
    const scale = window.devicePixelRatio || 1;
    const width = Math.max(160, this.place.clientWidth);
    const height = this.place.clientHeight;
    Object.assign(this.canvas, { width: width * scale, height: height * scale });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.area = {
      left: MARGIN.left,
      top: MARGIN.top,
      width: width - MARGIN.left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
    };
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    this.paint(pen);
    this.axes(pen);
    const { rows, step } = this.history.waterfall;
    const every = step > 1 ? `, one of ${step} frames` : "";
    this.place.setAttribute("aria-label", `Spectra over time: ${rows} spectra${every}`);
  }

  // The colours of every pixel of the image, once; then scaled into the area.
  paint(pen) {
    const { energy, waterfall } = this.history;
    const n = energy.length;
    const number = (i) => this.values[i] - (this.minus ? this.minus[i % n] : 0);
    const [low, high] = this.extent(number);
    const ramp = this.minus ? RAMPS.difference : RAMPS.intensity;
    const image = new ImageData(n, waterfall.rows);
    for (let row = 0; row < waterfall.rows; row++) {
      const target = 4 * n * (waterfall.rows - 1 - row);
      for (let j = 0; j < n; j++) {
        const value = number(row * n + j);
        const at = target + 4 * j;
        if (Number.isNaN(value)) continue;
        const colour = 3 * Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low))));
        image.data.set([ramp[colour], ramp[colour + 1], ramp[colour + 2], 255], at);
      }
    }
    const raster = document.createElement("canvas");
    Object.assign(raster, { width: n, height: waterfall.rows });
    raster.getContext("2d").putImageData(image, 0, 0);
    const { left, top, width, height } = this.area;
    pen.fillStyle = "#ececec";
    pen.fillRect(left, top, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.imageSmoothingEnabled = false;
    const half = (energy[1] - energy[0]) / 2;
    const ends = waterfall.first + waterfall.rows * waterfall.step;
    const [x0, x1] = [energy[0] - half, energy[n - 1] + half].map((e) => this.xOf(e));
    const [y0, y1] = [ends, waterfall.first].map((f) => this.yOf(f));
    pen.drawImage(raster, x0, y0, x1 - x0, y1 - y0);
    pen.restore();
    this.scaled(low, high, ramp);
  }

  extent(number) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < this.values.length; i++) {
      const value = number(i);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (this.minus) high = Math.max(Math.abs(low), Math.abs(high), 1e-9);
    return this.minus ? [-high, high] : [low, high > low ? high : low + 1];
  }

  axes(pen) {
    const { left, top, width, height } = this.area;
    const { low, high, first, end } = this.shown;
    const time = this.history.time;
    const [from, to] = [first, end].map((f) => (time ? time.zero + f * time.step : f));
    pen.fillStyle = INK;
    pen.strokeStyle = "#888";
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    const across = ticks(low, high, width / 70);
    for (const x of across.values) {
      pen.fillRect(this.xOf(x), top + height, 1, 4);
      pen.fillText(fixed(x, across.digits), this.xOf(x), top + height + 16);
    }
    pen.fillText("energy / eV", left + width / 2, top + height + 33);
    pen.textAlign = "right";
    const up = ticks(from, to, height / 40);
    for (const t of up.values) {
      const y = top + height * (1 - (t - from) / (to - from));
      pen.fillRect(left - 4, y, 4, 1);
      pen.fillText(fixed(t, up.digits), left - 6, y + 4);
    }
    pen.save();
    pen.translate(12, top + height / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(time ? `time / ${time.unit}` : "frame", 0, 0);
    pen.restore();
    pen.strokeRect(left, top, width, height);
  }

  xOf(energy) {
    const { low, high } = this.shown;
    return this.area.left + (this.area.width * (energy - low)) / (high - low);
  }

  yOf(frame) {
    const { first, end } = this.shown;
    return this.area.top + this.area.height * (1 - (frame - first) / (end - first));
  }

  // -- hands -----------------------------------------------------------------------------------

  at(event) {
    const { left, top, width, height } = this.area;
    const frame = this.place.getBoundingClientRect();
    const x = Math.min(1, Math.max(0, (event.clientX - frame.left - left) / width));
    const y = Math.min(1, Math.max(0, (event.clientY - frame.top - top) / height));
    const { low, high, first, end } = this.shown;
    return { x: left + x * width, y: top + y * height, energy: low + x * (high - low), frame: end - y * (end - first) };
  }

  listen() {
    let start = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      if (!this.area || event.pointerType === "touch") return;
      start = this.at(event);
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.area) return;
      const now = this.at(event);
      this.read(now);
      if (!start) return;
      this.box.hidden = false;
      const [x, y] = [Math.min(start.x, now.x), Math.min(start.y, now.y)];
      const [w, h] = [Math.abs(start.x - now.x), Math.abs(start.y - now.y)];
      Object.assign(this.box.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (!this.area) return;
      const now = this.at(event);
      const from = start || now;
      start = null;
      this.box.hidden = true;
      if (Math.hypot(from.x - now.x, from.y - now.y) < 5) this.picked(Math.floor(now.frame));
      else this.between(from, now);
    });
    this.canvas.addEventListener("pointerleave", () => (this.readout.textContent = ""));
    this.canvas.addEventListener("dblclick", () => this.all());
    this.place.addEventListener("keydown", (event) => this.key(event));
  }

  read({ energy, frame }) {
    const grid = this.history.energy;
    const { first, step, rows } = this.history.waterfall;
    const row = Math.floor((frame - first) / step);
    const column = Math.round(((energy - grid[0]) / (grid[grid.length - 1] - grid[0])) * (grid.length - 1));
    const value = row >= 0 && row < rows ? this.values[row * grid.length + column] : NaN;
    this.readout.textContent = `${fixed(energy, 1)} eV, frame ${first + row * step}: ${fixed(value, 3)}`;
  }

  between(a, b) {
    const [first, end] = [Math.floor(Math.min(a.frame, b.frame)), Math.ceil(Math.max(a.frame, b.frame))];
    this.zoom({ low: Math.min(a.energy, b.energy), high: Math.max(a.energy, b.energy), first, end: Math.max(end, first + 1) });
  }

  zoom(view) {
    this.view = view;
    this.draw();
    this.zoomedTo(view.first, view.end);
  }

  all() {
    this.view = null;
    this.zoomedTo(null, null);
  }

  key(event) {
    if (!this.history || event.ctrlKey || event.metaKey) return;
    const { low, high, first, end } = this.shown;
    const by = (lower, upper) => {
      const width = end - first;
      const from = Math.max(0, Math.round(first + lower * width));
      this.zoom({ low, high, first: from, end: Math.max(from + 1, Math.round(end + upper * width)) });
    };
    const across = (share) => this.zoom({ low: low + share * (high - low), high: high + share * (high - low), first, end });
    const moves = {
      ArrowUp: () => by(0.1, 0.1),
      ArrowDown: () => by(-0.1, -0.1),
      ArrowLeft: () => across(-0.1),
      ArrowRight: () => across(0.1),
      "+": () => by(0.15, -0.15),
      "=": () => by(0.15, -0.15),
      "-": () => by(-0.2, 0.2),
      0: () => this.all(),
      Escape: () => this.all(),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  }

  // The rows within the zoom: [["frame", ...], [energy, ...], ...]
  columns() {
    const { energy, waterfall } = this.history;
    const { low, high, first, end } = this.shown;
    const rows = [...Array(waterfall.rows).keys()].filter((r) => {
      const frame = waterfall.first + r * waterfall.step;
      return frame >= first && frame < end;
    });
    const inside = [...energy.keys()].filter((j) => energy[j] >= low && energy[j] <= high);
    const n = energy.length;
    const number = (r, j) => {
      const value = this.values[r * n + j] - (this.minus ? this.minus[j] : 0);
      return Number.isNaN(value) ? "" : Number(value.toPrecision(6));
    };
    return [
      ["frame", rows.map((r) => waterfall.first + r * waterfall.step)],
      ...inside.map((j) => [energy[j], rows.map((r) => number(r, j))]),
    ];
  }
}
