// The service: what goes on, what is wrong, and what an operator may do about it.

import { ask } from "./connection.js";
import { count, DASH, fixed, moment, rate, span } from "./numbers.js";
import { Operator } from "./operator.js";
import { button } from "./saving.js";
import { once, Table } from "./table.js";

export class ServiceView {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.operator = new Operator(this.find("#operator"), () => this.redraw());
    this.models = [];
    this.runs = [];
    this.makeTables();
    this.find("#dead-run").addEventListener("change", () => this.showLetters());
    this.find("#requeue-all").addEventListener("click", () => this.requeue(null));
    this.find("#drain").addEventListener("click", () => this.hold(null, !this.drained));
  }

  makeTables() {
    this.runTable = new Table(this.find("#runs"), [
      ["run", (r, held) => once(held, "link", () => link(r.run))],
      ["state", (r) => r.state, "text"],
      ["model", (r) => r.model || DASH, "text"],
      ["pushed", (r) => count(r.pushed)],
      ["on disk", (r) => count(r.on_disk)],
      ["backlog", (r) => count(r.backlog)],
      ["in / s", (r) => rate(r.pushed_per_s)],
      ["to disk / s", (r) => rate(r.written_per_s)],
      ["latency", (r) => span(r.latency_s)],
      ["dead", (r) => count(r.dead)],
      ["", (r, held) => this.pauseButton(r, held), "text"],
    ]);
    this.workerTable = new Table(this.find("#workers"), [
      ["worker", (w) => w.name],
      ["host", (w) => w.host, "text"],
      ["device", (w) => w.device, "text"],
      ["models", (w) => w.models.join(", ") || DASH, "text"],
      ["frames", (w) => count(w.frames)],
      ["failed", (w) => count(w.failures)],
      ["busy", (w) => `${fixed(w.busy_s, 1)} s`],
      ["seen", (w) => `${fixed(Math.max(0, this.now - w.seen_at), 0)} s ago`],
    ]);
    this.modelTable = new Table(this.find("#model-versions"), [
      ["model", (v) => `${v.name}@${v.version}`],
      ["stands for", (v) => v.aliases.join(", "), "text"],
      ["at work in", (v) => (v.workers ? `${v.workers} worker${v.workers === 1 ? "" : "s"}` : DASH), "text"],
      ["edge", (v) => (v.element ? `${v.element} ${v.edge}` : v.trouble), "text"],
      ["members", (v) => v.members ?? DASH],
      ["median error", (v) => (v.error_percent ? `${fixed(v.error_percent, 1)} %` : DASH)],
      ["", (v, held) => this.modelButtons(v, held), "text"],
    ]);
    this.moveTable = new Table(this.find("#moves"), [
      ["when", (m) => m.when],
      ["model", (m) => m.name, "text"],
      ["what", (m) => `${m.action} ${m.alias || ""}: ${m.before ?? "nothing"} → ${m.after ?? "nothing"}`, "text"],
      ["who", (m) => m.who, "text"],
      ["why", (m) => m.why, "long"],
    ]);
    this.shadowTable = new Table(this.find("#shadows"), [
      ["run", (s) => s.run],
      ["served", (s) => s.served, "text"],
      ["shadow", (s) => s.shadow, "text"],
      ["frames", (s) => count(s.frames)],
      ["not compared", (s) => count(s.skipped)],
      ["failed", (s) => count(s.failed)],
      ["median difference", (s) => (s.median_percent === null ? DASH : `${fixed(s.median_percent, 2)} %`)],
    ]);
    this.jobTable = new Table(this.find("#jobs"), [
      ["job", (j) => j.id],
      ["task", (j) => j.task, "text"],
      ["state", (j) => j.state, "text"],
      ["progress", (j, held) => progress(j, held), "long"],
      ["time", (j) => span(j.seconds)],
      ["what came of it", (j) => j.outcome, "long"],
    ]);
    this.requestTable = new Table(this.find("#requests"), [
      ["frame", (r) => r.name || r.id],
      ["edge", (r) => r.edge, "text"],
      ["atoms", (r) => count(r.n_atoms)],
      ["novelty", (r) => fixed(r.novelty, 2)],
      ["uncertainty", (r) => `${fixed(100 * r.uncertainty, 1)} %`],
      ["asked", (r) => moment(r.t_asked)],
      ["state", (r) => r.state, "text"],
    ]);
    this.letterTable = new Table(this.find("#letters"), [
      ["frame", (l) => count(l.frame)],
      ["why", (l) => l.reason, "long"],
      ["attempts", (l) => count(l.attempts)],
      ["where", (l) => ({ disk: "on this disk", server: "waits for the writer", elsewhere: "on the writer's disk" })[l.where], "text"],
      ["", (l, held) => this.letterButton(l, held), "text"],
    ]);
  }

  // -- what arrives ----------------------------------------------------------------------------

  take(kind, value) {
    if (kind === "service") this.takeService(value);
    if (kind === "runs") this.takeRuns(value);
    if (kind === "models") this.takeModels(value);
    if (kind === "jobs") this.takeJobs(value);
    if (kind === "labels") this.takeLabels(value);
  }

  takeService(service) {
    this.now = service.now;
    this.workers = service.workers;
    this.drained = service.drained;
    this.find("#drain").textContent = service.drained ? "Let producers in again" : "Drain: hold back all producers";
    const writers = service.shards.filter((s) => s.writer_alive).length;
    const total = (name) => this.runs.reduce((sum, run) => sum + (run[name] || 0), 0);
    const words = service.version
      ? `server ${service.server} (${service.version}) · ${service.workers.length} ${service.workers.length === 1 ? "worker" : "workers"} · ${writers} of ${service.shards.length} shards with a writer · ` +
        `${count(service.backlog)} frames accepted and not on disk yet · ${rate(total("pushed_per_s"))} frames/s in, ${rate(total("written_per_s"))} to disk`
      : `server ${service.server}: away`;
    this.find("#service-words").textContent = words;
    this.showTrouble(service.trouble);
    this.workerTable.show(service.workers, (w) => w.name);
    this.find("#workers").closest("article").querySelector(".empty").textContent = service.workers.length ? "" : "No worker runs.";
    this.find("#shadow-part").hidden = !service.shadows.length;
    this.shadowTable.show(service.shadows, (s) => `${s.run} ${s.served} ${s.shadow}`);
    this.redraw();
  }

  showTrouble(lines) {
    const place = this.find("#trouble");
    const now = lines.join("\n");
    if (place.dataset.now === now) return;
    place.dataset.now = now;
    place.replaceChildren(
      ...lines.map((line) => {
        const p = document.createElement("p");
        p.textContent = line;
        return p;
      }),
    );
  }

  takeRuns(runs) {
    this.runs = runs;
    this.runTable.show(runs, (r) => r.run);
    const dead = runs.filter((r) => r.dead);
    this.find("#dead-part").hidden = !dead.length;
    const choice = this.find("#dead-run");
    const wanted = dead.map((r) => `${r.run} (${r.dead})`).join("\n");
    if (choice.dataset.now === wanted) return;
    choice.dataset.now = wanted;
    const before = choice.value;
    choice.replaceChildren(...dead.map((r) => new Option(`${r.run} (${count(r.dead)})`, r.run)));
    if (dead.some((r) => r.run === before)) choice.value = before;
    this.showLetters();
  }

  takeModels({ trouble, models }) {
    this.models = models;
    const place = this.find("#models > .trouble");
    place.hidden = !trouble;
    place.textContent = trouble;
    const moves = models.flatMap((m) => m.moves.map((move) => ({ ...move, name: m.name })));
    this.moveTable.show(moves.sort((a, b) => (a.when < b.when ? 1 : -1)), (m) => `${m.name} ${m.when} ${m.action} ${m.alias} ${m.after}`);
    this.redraw();
  }

  takeJobs({ trouble, jobs }) {
    this.find("#job-part").hidden = !trouble && !jobs.length;
    const place = this.find("#job-part > .trouble");
    place.hidden = !trouble;
    place.textContent = trouble;
    this.jobTable.show(jobs, (j) => j.id);
  }

  takeLabels({ stream, requests }) {
    const { waiting, outcomes, archive_alive: alive } = stream;
    const some = waiting || Object.values(outcomes).some(Boolean);
    this.find("#label-part").hidden = !(alive || some || requests);
    const said = Object.entries(outcomes).filter(([, n]) => n).map(([outcome, n]) => `${count(n)} ${outcome}`);
    this.find("#label-words").textContent =
      `${alive ? "A trainer takes labels in" : "No trainer runs"}; ${count(waiting)} wait${said.length ? `; so far ${said.join(", ")}` : ""}.`;
    this.takeRequests(requests);
  }

  takeRequests(requests) {
    this.find("#request-part").hidden = !requests;
    const place = this.find("#label-part > .trouble");
    place.hidden = !requests?.trouble;
    if (!requests) return;
    place.textContent = requests.trouble;
    this.find("#request-words").textContent = `${count(requests.open)} open, ${count(requests.answered)} answered.`;
    this.requestTable.show(requests.newest, (r) => r.id);
  }

  // -- what an operator may do -----------------------------------------------------------------

  redraw() {
    const rows = this.models.flatMap((model) =>
      model.versions.map((v) => ({
        ...v,
        name: model.name,
        now: model.aliases.champion,
        aliases: Object.entries(model.aliases).filter(([, version]) => version === v.version).map(([alias]) => alias),
        workers: (this.workers || []).filter((w) => w.models.includes(`${model.name}@${v.version}`)).length,
        moved: model.moves.some((m) => m.alias === "champion"),
      })),
    );
    this.modelTable.show(rows, (v) => `${v.name}@${v.version}`);
    this.find("#requeue-all").hidden = !this.operator.may;
    this.find("#drain").hidden = !this.operator.may;
    this.runTable.show(this.runs, (r) => r.run);
    for (const { nodes } of this.letterTable.rows.values()) nodes.requeue.hidden = !this.operator.may;
  }

  pauseButton(run, held) {
    const made = once(held, "pause", () => button("", () => this.hold(held.row.run, held.row.state !== "paused")));
    made.textContent = run.state === "paused" ? "Resume" : "Pause";
    made.setAttribute("aria-label", `${made.textContent} the producer of ${run.run}`);
    made.hidden = !this.operator.may || !["open", "paused"].includes(run.state);
    return made;
  }

  hold(run, on) {
    const who = run === null ? "all producers" : `the producer of ${run}`;
    if (on && !window.confirm(`Hold back ${who}? What was accepted is still predicted and written.`)) return;
    this.operator.change("/api/operator/hold", run === null ? { on } : { on, run }, on ? `${who} wait` : `${who} may push again`);
  }

  modelButtons(version, held) {
    const place = once(held, "buttons", () => {
      const made = document.createElement("span");
      made.append(
        button("Promote", () => this.promote(held.row)),
        button("Roll back", () => this.rollBack(held.row)),
      );
      return made;
    });
    const [promote, back] = place.children;
    const isChampion = version.aliases.includes("champion");
    promote.hidden = !this.operator.may || isChampion || Boolean(version.trouble);
    back.hidden = !this.operator.may || !isChampion || !version.moved;
    promote.setAttribute("aria-label", `Promote ${version.name}@${version.version} to champion`);
    back.setAttribute("aria-label", `Roll ${version.name} back to what it was before`);
    return place;
  }

  promote({ name, version, now }) {
    const why = window.prompt(`${name}@${version} becomes what workers use, in the place of ${name}@${now}. Why?`);
    if (why === null) return;
    this.operator.change("/api/operator/promote", { name, version, why, expect: now }, `${name}@${version} is the champion`);
  }

  rollBack({ name, version }) {
    const why = window.prompt(`${name} goes back to the version before ${version}. Why?`);
    if (why === null) return;
    this.operator.change("/api/operator/rollback", { name, why }, `${name} is rolled back`);
  }

  letterButton(letter, held) {
    const made = once(held, "requeue", () => {
      const made = button("Requeue", () => this.requeue(held.row.frame));
      made.setAttribute("aria-label", `Requeue frame ${letter.frame}`);
      made.disabled = letter.where !== "disk";
      return made;
    });
    made.hidden = !this.operator.may;
    return made;
  }

  async requeue(frame) {
    const run = this.find("#dead-run").value;
    await this.operator.change("/api/operator/requeue", frame === null ? { run } : { run, frame }, `requeued; the run's file is amended when the answers are there`);
    this.showLetters();
  }

  async showLetters() {
    const run = this.find("#dead-run").value;
    if (!run) return;
    try {
      const letters = await ask(`/api/runs/${encodeURIComponent(run)}/dead-letters`);
      this.letterTable.show(letters, (l) => `${l.run} ${l.frame} ${l.failed_at}`);
    } catch (error) {
      this.operator.words.textContent = error.message;
    }
  }
}

function link(run) {
  const made = document.createElement("a");
  made.href = `#run=${encodeURIComponent(run)}`;
  made.textContent = run;
  return made;
}

// A bar, where it is known how much is done, and words.
function progress(job, held) {
  const place = once(held, "progress", () => {
    const made = document.createElement("span");
    made.append(document.createElement("progress"), document.createElement("span"));
    return made;
  });
  const [bar, words] = place.children;
  bar.hidden = job.part === null;
  bar.value = job.part ?? 0;
  bar.setAttribute("aria-label", `How much of ${job.id} is done`);
  words.textContent = job.progress || DASH;
  return place;
}
