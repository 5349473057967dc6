// The page: which view is shown, and where what arrives goes.

import { ask, Connection } from "./connection.js";
import { RunView } from "./run_view.js";
import { ServiceView } from "./service_view.js";

const SAYS = { connecting: "connecting …", live: "live", lost: "connection lost, trying again …" };
const place = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.service = new ServiceView(place("service-view"));
    this.view = null;
    this.run = "";
    this.runs = [];
    this.models = [];
    this.measured = [];
    this.connection = new Connection((kind, value) => this.take(kind, value), (state) => this.tell(state));
    this.choice = place("run-choice");
    this.choice.addEventListener("change", () => (location.hash = `run=${encodeURIComponent(this.choice.value)}`));
    window.addEventListener("hashchange", () => this.go());
    this.go();
  }

  // #run=NAME or #service; neither: the run that arrives now, or the latest, once one is known
  go() {
    const run = runNamed(location.hash);
    const isService = location.hash === "#service";
    if (location.hash === "#main") return;
    if (run !== this.run || !this.connection.source) {
      this.run = run;
      this.connection.open(run);
    }
    place("run-view").hidden = !run;
    place("service-view").hidden = Boolean(run);
    this.undecided = !run && !isService;
    if (run) this.begin(run);
    place("to-service").toggleAttribute("aria-current", !run);
    document.title = run ? `${run} – edgestream` : "edgestream";
    this.offerRuns();
    this.lookForReferences();
  }

  begin(run) {
    this.view ??= new RunView(place("run-view"));
    this.view.begin(run);
  }

  tell(state) {
    const words = place("connection");
    words.textContent = SAYS[state];
    words.classList.toggle("lost", state === "lost");
    if (state === "live" && this.state === "lost") this.lookForReferences();
    this.state = state;
  }

  take(kind, value) {
    if (kind === "runs") this.takeRuns(value);
    if (kind === "models") this.models = value.models.flatMap((m) => m.versions.map((v) => `${m.name}@${v.version}`));
    this.service.take(kind, value);
    if (this.run) {
      this.view.take(kind, value);
      this.view.difference.offer(this.runs, this.models, this.measured);
    }
  }

  takeRuns(rows) {
    this.runs = rows.map((r) => r.run);
    this.offerRuns();
    if (this.undecided && rows.length) {
      this.undecided = false;
      location.replace(`#run=${encodeURIComponent(rows[0].run)}`);
    }
  }

  offerRuns() {
    const names = this.run && !this.runs.includes(this.run) ? [this.run, ...this.runs] : this.runs;
    const wanted = names.join("\n");
    if (this.choice.dataset.now !== wanted) {
      this.choice.dataset.now = wanted;
      this.choice.replaceChildren(new Option("choose a run", ""), ...names.map((name) => new Option(name, name)));
    }
    this.choice.value = this.run;
  }

  async lookForReferences() {
    try {
      const found = await ask("/api/references");
      this.measured = found.measured;
      this.service.operator.exists(found.operator);
    } catch {
      this.measured = []; // the connection says that nobody is there
    }
  }
}

function runNamed(hash) {
  const found = hash.match(/^#run=(.+)$/);
  try {
    return found ? decodeURIComponent(found[1]) : "";
  } catch {
    return ""; // not an address that this page has given
  }
}

new Page();
