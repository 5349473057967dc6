// The absorbers of one frame, each with its own spectrum.

import { ask } from "./connection.js";
import { Curves } from "./curves.js";
import { count } from "./numbers.js";
import { DASHES, LINES } from "./palette.js";

export class Sites {
  constructor(root) {
    this.words = root.querySelector(".words");
    this.place = root.querySelector(".plot");
    this.field = root.querySelector("#frame");
    this.plot = null;
    root.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.show(Number(this.field.value));
    });
  }

  begin(run) {
    this.run = run;
    this.field.value = "";
    this.clear();
    this.words.textContent = "Choose a frame here, or click on one above.";
  }

  // The newest frame is what one may want to see, until a number is there.
  suggest(frame) {
    if (!this.field.value) this.field.value = frame;
  }

  clear() {
    if (this.plot) this.plot.plot.destroy();
    this.place.replaceChildren();
    this.plot = null;
  }

  async show(frame) {
    if (!Number.isInteger(frame) || frame < 0) return;
    this.field.value = frame;
    const run = this.run;
    try {
      const found = await ask(`/api/runs/${encodeURIComponent(run)}/frames/${frame}`);
      if (run === this.run) this.draw(found);
    } catch (error) {
      this.words.textContent = error.message;
    }
  }

  draw(found) {
    this.clear();
    const words = found.status === 2 ? "has no spectrum: it is a dead letter" : `${found.sites} site${found.sites === 1 ? "" : "s"}`;
    const some = found.sites > found.atom.length ? `, the first ${found.atom.length} shown` : "";
    const atoms = found.atom.length ? `; atoms ${found.atom.slice(0, 12).join(", ")}` : "";
    this.words.textContent = `frame ${count(found.frame)}: ${words}${some}${atoms}`;
    if (!found.atom.length) return;
    this.names = ["energy_ev", ...found.atom.map((a) => `atom_${a}`), ...found.atom.map((a) => `atom_${a}_error`)];
    this.plot = new Curves(this.place.appendChild(Object.assign(document.createElement("div"), { className: "fill" })), {
      label: `Spectra of the sites of frame ${found.frame}`,
      x: "energy / eV",
      y: "intensity",
      series: [...found.atom.map((atom, i) => line(atom, i)), ...found.atom.map(() => ({ show: false }))],
    });
    this.plot.show(found.energy, ...found.intensity, ...found.errors);
  }
}

function line(atom, i) {
  const dash = DASHES[Math.floor(i / LINES.length) % DASHES.length];
  return { label: `atom ${atom}`, stroke: LINES[i % LINES.length], dash, width: 1.6 };
}
