// Who may change something: the token is kept in this page's memory, and gone when it is closed.

import { ask } from "./connection.js";

export class Operator {
  // changed(): somebody unlocked or locked
  constructor(root, changed) {
    this.token = "";
    this.words = root.querySelector("#operator-words");
    this.form = root.querySelector("form");
    this.field = root.querySelector("#token");
    this.changed = changed;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.unlock(this.field.value.trim());
    });
  }

  get may() {
    return Boolean(this.token);
  }

  // there: whether the page was started with a token at all
  exists(there) {
    this.form.hidden = !there;
    if (!there) this.words.textContent = "Read-only: this page was started without an operator token (edgestream dashboard --operator-token-file FILE).";
  }

  async unlock(token) {
    try {
      await this.send("/api/operator", token);
      this.token = token;
      this.words.textContent = "Unlocked: models can be promoted and rolled back, dead letters requeued, producers held back, until this page is closed.";
    } catch (error) {
      this.token = "";
      this.words.textContent = error.message;
    }
    this.field.value = "";
    this.changed();
  }

  send(path, token, body = {}) {
    return ask(path, { method: "POST", headers: { "X-Operator-Token": token, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // Asks for a change, and says what came of it.
  async change(path, body, words) {
    try {
      await this.send(path, this.token, body);
      this.words.textContent = `Done: ${words}.`;
    } catch (error) {
      this.words.textContent = `Not done: ${error.message}`;
    }
    this.words.scrollIntoView({ block: "nearest" });
  }
}
