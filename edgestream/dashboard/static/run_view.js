// One run: what its plots show, and what they are asked.

import { ask } from "./connection.js";
import { Curves } from "./curves.js";
import { Difference } from "./difference.js";
import { count, fixed, span } from "./numbers.js";
import { BAND, BLUE, INK, ORANGE, SPREAD } from "./palette.js";
import { button, saveNumbers, savePicture } from "./saving.js";
import { Sites } from "./sites.js";
import { Waterfall } from "./waterfall.js";

const NONE = { stroke: "transparent", width: 0 };

export class RunView {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.spectrum = this.makeSpectrum();
    this.difference = new Difference(this.find("#difference"));
    this.waterfall = new Waterfall(this.find("#waterfall .plot"), {
      zoomedTo: (first, end) => this.fetchWindow(first, end),
      picked: (frame) => this.sites.show(frame),
      scaled: (low, high, ramp) => this.showScale(low, high, ramp),
    });
    this.makeTrack();
    this.sites = new Sites(this.find("#sites"));
    this.addTools();
    this.find("#minus-average").addEventListener("change", () => this.drawWaterfall());
  }

  // -- the plots -------------------------------------------------------------------------------

  makeSpectrum() {
    return new Curves(this.find("#spectrum .plot"), {
      label: "Average spectrum",
      x: "energy / eV",
      y: "intensity",
      series: [
        { label: "average", stroke: BLUE, width: 2.2 },
        { ...NONE }, { ...NONE }, { ...NONE }, { ...NONE },
        { label: "newest", stroke: ORANGE, width: 1.4, dash: [6, 4] },
      ],
      bands: [
        { series: [4, 5], fill: SPREAD },
        { series: [2, 3], fill: BAND },
      ],
    });
  }

  makeTrack() {
    const picked = (x) => this.sites.show(Math.round(this.frameOf(x)));
    this.novelty = new Curves(this.find("#track .novelty"), {
      label: "Novelty over time",
      x: "",
      y: "novelty",
      series: [{ label: "novelty", stroke: BLUE, width: 1.4 }, { stroke: INK, width: 1.6, dash: [2, 3] }],
      range: (u, low, high) => [0, Math.max(1.2, (high || 0) * 1.1)],
      picked,
    });
    this.uncertainty = new Curves(this.find("#track .uncertainty"), {
      label: "Uncertainty over time",
      x: "frame",
      y: "uncertainty / %",
      series: [{ label: "uncertainty", stroke: ORANGE, width: 1.4, dash: [6, 4] }],
      range: (u, low, high) => [0, Math.max(1, (high || 0) * 1.1)],
      picked,
    });
  }

  addTools() {
    const tools = {
      spectrum: [() => this.spectrum.all(), () => [this.spectrum.canvas], () => this.spectrumColumns()],
      difference: [() => this.difference.plot.all(), () => [this.difference.plot.canvas], () => this.difference.columns()],
      waterfall: [() => this.waterfall.all(), () => [this.waterfall.canvas], () => this.waterfall.history && this.waterfall.columns()],
      track: [
        () => [this.novelty, this.uncertainty].forEach((plot) => plot.all()),
        () => [this.novelty.canvas, this.uncertainty.canvas],
        () => this.novelty.columns([this.axis(), "largest_novelty"]),
        () => this.uncertainty.columns([this.axis(), "uncertainty_percent"]),
      ],
      sites: [
        () => this.sites.plot && this.sites.plot.all(),
        () => (this.sites.plot ? [this.sites.plot.canvas] : []),
        () => this.sites.plot && this.sites.plot.columns(this.sites.names),
      ],
    };
    for (const [part, [all, canvases, ...tables]] of Object.entries(tools)) {
      const bar = this.find(`#${part} .toolbar`);
      const title = () => `${this.run}: ${this.find(`#${part} h3`).textContent}, ${this.find(`#${part} .words`).textContent}`;
      bar.append(
        button("All", all, `Show all of: ${this.find(`#${part} h3`).textContent}`),
        button("Picture", () => canvases().length && savePicture(canvases(), title(), `${this.run}-${part}`), `Save as a picture: ${this.find(`#${part} h3`).textContent}`),
        button(tables.length > 1 ? "Novelty as numbers" : "Numbers", () => this.download(tables[0], title(), part), `Download the numbers of: ${this.find(`#${part} h3`).textContent}`),
      );
      if (tables[1]) bar.append(button("Uncertainty as numbers", () => this.download(tables[1], title(), "uncertainty")));
    }
  }

  download(columns, title, part) {
    const found = columns();
    if (found && found[0][1].length) saveNumbers(found, [title], `${this.run}-${part}`);
  }

  // -- what arrives ----------------------------------------------------------------------------

  begin(run) {
    Object.assign(this, { run, average: null, newest: null, history: null, facts: {}, window: null });
    this.find("#run-name").textContent = run;
    this.find("#run-words").textContent = "";
    this.difference.begin(run);
    this.sites.begin(run);
    this.spectrum.show([], [], [], [], [], [], []);
    for (const plot of [this.spectrum, this.novelty, this.uncertainty]) plot.zoomed = false;
    this.novelty.show([], [], []);
    this.uncertainty.show([], []);
    this.waterfall.view = null;
  }

  say(part, words) {
    const place = this.find(`#${part} .words`);
    if (place.textContent !== words) place.textContent = words;
  }

  take(kind, value) {
    const takers = {
      run: () => this.takeRun(value),
      average: () => this.takeAverage(value),
      newest: () => this.takeNewest(value),
      history: () => this.takeHistory(value),
    };
    if (takers[kind]) takers[kind]();
  }

  takeRun(facts) {
    this.facts = facts;
    this.find("#run-words").textContent = inWords(facts);
    const trouble = this.find("#run-trouble");
    const words = facts.refusal || (facts.finished ? "" : facts.trouble);
    trouble.hidden = !words;
    trouble.textContent = words;
  }

  takeAverage(average) {
    this.average = average;
    this.drawSpectrum();
    if (this.find("#minus-average").checked) this.drawWaterfall();
    this.difference.renew();
  }

  takeNewest(newest) {
    this.newest = newest;
    const wait = newest.latency_s === null ? "" : `, ${span(newest.latency_s)} after it was pushed`;
    this.find(".newest-words").textContent = `frame ${count(newest.frame)}${wait}`;
    this.drawSpectrum();
    this.sites.suggest(newest.frame);
  }

  takeHistory(history) {
    this.history = history;
    if (!this.window) this.drawHistory(history);
  }

  // -- drawing ---------------------------------------------------------------------------------

  drawSpectrum() {
    const { average, newest } = this;
    const energy = average ? average.energy : newest ? newest.energy : [];
    const nothing = energy.map(() => null);
    const around = (name, sign) =>
      average ? energy.map((_, i) => (average[name][i] === null ? null : average.intensity[i] + sign * average[name][i])) : nothing;
    const same = newest && newest.energy.length === energy.length;
    this.spectrum.show(
      energy,
      average ? average.intensity : nothing,
      around("intensity_errors", 1),
      around("intensity_errors", -1),
      around("spread", 1),
      around("spread", -1),
      same ? newest.intensity : nothing,
    );
    if (!average) return;
    const where = average.of === "file" ? "on disk" : "that arrived since somebody looked; no file here yet";
    this.say("spectrum", `over ${count(average.n)} frames ${where}`);
    const top = average.intensity.indexOf(Math.max(...average.intensity));
    this.spectrum.describe(`over ${average.n} frames, highest at ${fixed(energy[top], 1)} eV with ${fixed(average.intensity[top], 3)}`);
  }

  drawHistory(history) {
    this.shownHistory = history;
    this.drawWaterfall();
    const { waterfall, novelty } = history;
    const time = (frame) => (history.time ? history.time.zero + frame * history.time.step : frame);
    const middle = (first, i, width) => time(first + i * width + (width > 1 ? (width - 1) / 2 : 0));
    const bins = novelty.largest.map((_, i) => middle(novelty.first, i, novelty.width));
    this.novelty.show(bins, novelty.largest, bins.map(() => history.alarm));
    const rows = waterfall.uncertainty.map((_, i) => time(waterfall.first + i * waterfall.step));
    this.uncertainty.show(rows, waterfall.uncertainty);
    const known = novelty.largest.some((x) => x !== null);
    const over = novelty.largest.filter((x) => x > history.alarm).length;
    const largest = Math.max(...novelty.largest.filter((x) => x !== null), 0);
    const alarm = !known ? "this model gives no novelty" : over ? `${over} of ${bins.length} points above the alarm` : "never above the alarm";
    const words = known ? `largest novelty ${fixed(largest, 2)}, ${alarm}` : alarm;
    this.say("track", words);
    this.novelty.describe(words);
    this.nameAxis();
    const every = waterfall.step > 1 ? `${count(waterfall.rows)} of ${count(waterfall.end - waterfall.first)} frames, evenly chosen` : `${count(waterfall.rows)} frames`;
    this.say("waterfall", every);
  }

  drawWaterfall() {
    const history = this.shownHistory;
    if (!history) return;
    const minus = this.find("#minus-average").checked && this.average;
    const fits = minus && this.average.energy.length === history.energy.length;
    this.waterfall.show(history, fits ? this.average.intensity : null);
  }

  showScale(low, high, ramp) {
    this.find(".scale .low").textContent = fixed(low, 2);
    this.find(".scale .high").textContent = fixed(high, 2);
    const canvas = this.find(".scale canvas");
    const pen = canvas.getContext("2d");
    for (let i = 0; i < 256; i++) {
      pen.fillStyle = `rgb(${ramp[3 * i]} ${ramp[3 * i + 1]} ${ramp[3 * i + 2]})`;
      pen.fillRect(i, 0, 1, 10);
    }
  }

  nameAxis() {
    const time = this.shownHistory.time;
    this.uncertainty.plot.axes[0].label = time ? `time / ${time.unit}` : "frame";
  }

  axis() {
    const time = this.shownHistory && this.shownHistory.time;
    return time ? `time_${time.unit}` : "frame";
  }

  frameOf(x) {
    const time = this.shownHistory && this.shownHistory.time;
    return time ? (x - time.zero) / time.step : x;
  }

  // -- what is asked for -----------------------------------------------------------------------

  path(rest) {
    return `/api/runs/${encodeURIComponent(this.run)}/${rest}`;
  }

  async fetchWindow(first, end) {
    const run = this.run;
    if (first === null) {
      this.window = null;
      if (this.history) this.drawHistory(this.history);
      return;
    }
    this.window = { first, end };
    if (this.history && this.history.waterfall.step === 1) return; // all that there is is here
    this.wanted = { first, end };
    if (this.fetching) return; // the last one that was wanted is fetched when this one is here
    this.fetching = true;
    try {
      while (this.wanted) {
        const asked = this.wanted;
        this.wanted = null;
        const found = await ask(this.path(`window?first=${Math.max(0, asked.first)}&end=${asked.end}`));
        if (run === this.run && this.window && !this.wanted) this.drawHistory(found);
      }
    } catch (error) {
      this.say("waterfall", error.message);
    } finally {
      this.fetching = false;
    }
  }

  // -- numbers as they are seen ----------------------------------------------------------------

  spectrumColumns() {
    if (!this.average) return null;
    const { energy, intensity, intensity_errors, spread, standard_error, model_error } = this.average;
    const inside = new Set(this.spectrum.columns(["energy"])[0][1]);
    const kept = energy.map((e, i) => i).filter((i) => inside.has(energy[i]));
    const column = (values) => kept.map((i) => values[i]);
    const found = [
      ["energy_ev", column(energy)],
      ["intensity", column(intensity)],
      ["intensity_errors", column(intensity_errors)],
      ["spread", column(spread)],
      ["standard_error", column(standard_error)],
      ["model_error", column(model_error)],
    ];
    if (this.newest && this.newest.energy.length === energy.length) found.push([`frame_${this.newest.frame}`, column(this.newest.intensity)]);
    return found;
  }

}

function inWords(facts) {
  if (facts.known === false) return "No such run here (yet): it appears when its first frame comes.";
  const parts = [];
  if (facts.title) parts.push(facts.title);
  if (facts.element) parts.push(`${facts.element} ${facts.edge} edge`);
  if (facts.pushed !== undefined) parts.push(`${count(facts.pushed)} frames pushed, ${count(facts.on_disk)} on disk`);
  else if (facts.frames !== undefined) parts.push(`${count(facts.frames)} frames`);
  if (facts.dead) parts.push(`${count(facts.dead)} without a spectrum`);
  if (facts.dropped) parts.push(`${count(facts.dropped)} dropped by the producer`);
  if (facts.models && facts.models.length) parts.push(facts.models.join(", "));
  parts.push(facts.live ? (facts.sealed ? "all pushed, the last are on their way" : "still arriving") : facts.interrupted ? "interrupted" : facts.finished ? "finished" : "not growing");
  return parts.join(" · ");
}
