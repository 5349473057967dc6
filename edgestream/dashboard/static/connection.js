// The stream of events: one for each page, opened again after whatever ended it.

const KINDS = ["service", "runs", "models", "jobs", "labels", "run", "average", "newest", "history", "here"];
const SILENCE_MS = 25_000;
const LONGEST_MS = 5_000;

export class Connection {
  // take(kind, value) is called for each event; tell(state) with "connecting", "live" or "lost".
  constructor(take, tell) {
    this.take = take;
    this.tell = tell;
    this.pause = 500;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.close();
      else this.open(this.run);
    });
  }

  open(run) {
    this.close();
    this.run = run;
    this.tell("connecting");
    const source = new EventSource("/api/events" + (run ? `?run=${encodeURIComponent(run)}` : ""));
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        this.pause = 500;
        this.tell("live");
        this.watch();
        if (kind !== "here") this.take(kind, JSON.parse(event.data));
      });
    }
    source.onerror = () => this.again();
    this.source = source;
    this.watch();
  }

  close() {
    clearTimeout(this.silence);
    clearTimeout(this.retry);
    if (this.source) this.source.close();
    this.source = null;
  }

  watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.again(), SILENCE_MS);
  }

  again() {
    this.close();
    this.tell("lost");
    this.retry = setTimeout(() => this.open(this.run), this.pause);
    this.pause = Math.min(2 * this.pause, LONGEST_MS);
  }
}

// What is asked for once. Throws an Error with the server's own words.
export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 204) return null;
  const text = await answer.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(text || `the server answered ${answer.status}`);
  }
  if (!answer.ok) throw new Error(value.error || `the server answered ${answer.status}`);
  return value;
}
