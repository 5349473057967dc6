// A plot of curves over one axis: uPlot, with a keyboard, pictures and numbers.

import { fixed } from "./numbers.js";
import { INK } from "./palette.js";

const PLAIN = (u, splits) => splits.map((x) => (x === null ? "" : String(Number(x.toPrecision(12)))));
const AXIS = { values: PLAIN, stroke: INK, grid: { stroke: "#e6e6e6", width: 1 }, ticks: { stroke: "#bbb" }, font: "12px system-ui, sans-serif" };

export class Curves {
  // place: the element; options: what the plot is for a reader, axis labels, series, bands;
  // picked(x): somebody clicked there
  constructor(place, { label, x, y, series, bands = [], range, picked, digits = [1, 3] }) {
    this.place = place;
    this.names = series.map((s) => s.label);
    this.data = [[], ...series.map(() => [])];
    this.zoomed = false;
    this.digits = digits;
    place.tabIndex = 0;
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", label);
    this.label = label;
    this.plot = new window.uPlot(
      {
        ...this.size(),
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false, setScale: false } },
        scales: { x: { time: false }, y: { range } },
        axes: [{ ...AXIS, label: x, labelSize: 22, size: 34 }, { ...AXIS, label: y, labelSize: 20, size: 54 }],
        series: [{}, ...series.map((s) => ({ points: { show: false }, spanGaps: false, ...s }))],
        bands,
        hooks: { setSelect: [(u) => this.select(u)], setCursor: [(u) => this.read(u)] },
      },
      this.data,
      place,
    );
    this.readout = document.createElement("div");
    this.readout.className = "readout";
    place.append(this.readout);
    this.plot.over.addEventListener("dblclick", () => this.all());
    if (picked) {
      this.plot.over.addEventListener("click", () => {
        const at = this.plot.cursor.idx;
        if (at !== null && at !== undefined) picked(this.data[0][at]);
      });
    }
    place.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(place);
  }

  size() {
    return { width: Math.max(160, this.place.clientWidth), height: this.place.clientHeight };
  }

  // values: an array for x and one for each series, all of one length
  show(...values) {
    this.data = values;
    this.plot.setData(values, !this.zoomed);
    if (this.zoomed) this.plot.redraw();
  }

  // in words, for who does not see it
  describe(words) {
    this.place.setAttribute("aria-label", `${this.label}: ${words}`);
  }

  select(u) {
    if (u.select.width < 4) return;
    const [low, high] = [u.select.left, u.select.left + u.select.width].map((p) => u.posToVal(p, "x"));
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.zoom(low, high);
  }

  zoom(low, high) {
    this.zoomed = true;
    this.plot.setScale("x", { min: low, max: high });
  }

  all() {
    const x = this.data[0];
    this.zoomed = false;
    if (x.length) this.plot.setScale("x", { min: x[0], max: x[x.length - 1] });
  }

  read(u) {
    const at = u.cursor.idx;
    const [x, ...rest] = this.data;
    if (at === null || at === undefined || !(at in x)) {
      this.readout.textContent = "";
      return;
    }
    const values = rest.filter((_, i) => this.names[i]).map((v) => fixed(v[at], this.digits[1]));
    this.readout.textContent = `${fixed(x[at], this.digits[0])}: ${values.join(", ")}`;
  }

  key(event) {
    const { min, max } = this.plot.scales.x;
    const width = max - min;
    const moves = {
      ArrowLeft: () => this.zoom(min - 0.1 * width, max - 0.1 * width),
      ArrowRight: () => this.zoom(min + 0.1 * width, max + 0.1 * width),
      "+": () => this.zoom(min + 0.15 * width, max - 0.15 * width),
      "-": () => this.zoom(min - 0.2 * width, max + 0.2 * width),
      0: () => this.all(),
      Escape: () => this.all(),
    };
    moves["="] = moves["+"];
    if (!(event.key in moves) || !Number.isFinite(width) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    moves[event.key]();
  }

  get canvas() {
    return this.plot.ctx.canvas;
  }

  // What is within the zoom: [[name, values], ...]
  columns(names) {
    const { min, max } = this.plot.scales.x;
    const kept = this.data[0].map((x, i) => [x, i]).filter(([x]) => !this.zoomed || (x >= min && x <= max));
    return names.map((name, k) => [name, kept.map(([, i]) => this.data[k][i])]);
  }
}
