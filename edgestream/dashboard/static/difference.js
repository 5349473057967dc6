// A run minus something else: a measured spectrum, another run, another model.

import { ask } from "./connection.js";
import { Curves } from "./curves.js";
import { BLUE, SPREAD } from "./palette.js";

const NONE = { stroke: "transparent", width: 0 };
const AGAIN_MS = 5_000; // a difference to a growing run is asked for at most so often
const NOTHING = "Choose what to compare with.";

export class Difference {
  constructor(root) {
    this.words = root.querySelector(".words");
    this.place = root.querySelector(".plot");
    this.choice = root.querySelector("#reference");
    this.file = root.querySelector("#measured");
    this.plot = new Curves(this.place, {
      label: "Difference to the reference",
      x: "energy / eV",
      y: "difference",
      series: [{ label: "difference", stroke: BLUE, width: 2 }, { ...NONE }, { ...NONE }, { stroke: "#888", width: 1 }],
      bands: [{ series: [2, 3], fill: SPREAD }],
    });
    this.choice.addEventListener("change", () => this.compare());
    this.file.addEventListener("change", () => this.compareFile(this.file.files[0]));
  }

  begin(run) {
    this.run = run;
    this.choice.value = "";
    this.file.value = "";
    this.plot.zoomed = false;
    this.clear(NOTHING);
  }

  clear(words) {
    this.found = null;
    this.plot.show([], [], [], [], []);
    this.words.textContent = words;
  }

  // What there is to choose from.
  offer(runs, models, measured) {
    const groups = [
      ["measured", measured.map((name) => [`measured:${name}`, name])],
      ["runs", runs.filter((run) => run !== this.run).map((run) => [`run:${run}`, run])],
      ["models", models.map((name) => [`model:${name}`, name])],
    ];
    const wanted = JSON.stringify(groups);
    if (wanted === this.offered) return;
    this.offered = wanted;
    const before = this.choice.value;
    this.choice.replaceChildren(new Option("nothing", ""));
    for (const [label, entries] of groups) {
      if (!entries.length) continue;
      const group = document.createElement("optgroup");
      group.label = label;
      group.append(...entries.map(([value, text]) => new Option(text, value)));
      this.choice.append(group);
    }
    this.choice.value = before;
  }

  // The run has grown.
  renew() {
    if (this.choice.value && Date.now() - this.askedAt > AGAIN_MS) this.compare();
  }

  compare() {
    const chosen = this.choice.value;
    this.file.value = "";
    if (!chosen) return this.clear(NOTHING);
    return this.show(`comparison?with=${encodeURIComponent(chosen)}`);
  }

  compareFile(file) {
    if (!file) return;
    this.choice.value = "";
    this.show(`comparison?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
  }

  // Of two that are asked for at once, the later one is shown.
  async show(path, options) {
    const asked = (this.asked = Symbol(path));
    this.askedAt = Date.now();
    this.place.classList.add("waiting");
    if (!this.found) this.words.textContent = "comparing …";
    try {
      const found = await ask(`/api/runs/${encodeURIComponent(this.run)}/${path}`, options);
      if (asked === this.asked) this.draw(found);
    } catch (error) {
      if (asked === this.asked) this.clear(error.message);
    }
    if (asked === this.asked) this.place.classList.remove("waiting");
  }

  draw(found) {
    this.found = found;
    const errors = found.errors || found.energy.map(() => null);
    const band = (sign) => errors.map((x) => (x === null ? null : sign * 2 * x));
    this.plot.show(found.energy, found.difference, band(1), band(-1), found.energy.map(() => 0));
    this.words.textContent = found.words;
    this.plot.describe(found.words);
  }

  columns() {
    if (!this.found) return null;
    const [energy, difference] = this.plot.columns(["energy_ev", "run_minus_reference"]);
    const at = energy[1].map((e) => this.found.energy.indexOf(e));
    return [energy, difference, ["run", at.map((i) => this.found.run[i])], ["reference", at.map((i) => this.found.reference[i])]];
  }
}
