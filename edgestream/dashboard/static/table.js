// A table whose rows have keys: what did not change stays, with its focus.

export class Table {
  // columns: [[heading, (row) => text or node, class], ...]; a node is made once for each row
  constructor(place, columns) {
    this.columns = columns;
    this.rows = new Map();
    const head = place.createTHead().insertRow();
    for (const [heading, , kind] of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = heading;
      if (kind) cell.className = kind;
      head.append(cell);
    }
    this.body = place.createTBody();
  }

  show(rows, key) {
    const keys = rows.map(key);
    for (const [known, { line }] of this.rows) {
      if (!keys.includes(known)) {
        line.remove();
        this.rows.delete(known);
      }
    }
    rows.forEach((row, i) => {
      const held = this.rows.get(keys[i]) || this.add(keys[i], row);
      held.row = row;
      this.columns.forEach(([, content], k) => {
        const value = content(row, held);
        const cell = held.line.cells[k];
        if (value instanceof Node) {
          if (cell.firstChild !== value) cell.replaceChildren(value);
        } else if (cell.textContent !== String(value)) cell.textContent = value;
      });
      if (this.body.rows[i] !== held.line) this.body.insertBefore(held.line, this.body.rows[i] || null);
    });
  }

  add(key, row) {
    const line = this.body.insertRow();
    for (const [, , kind] of this.columns) {
      const cell = line.insertCell();
      if (kind) cell.className = kind;
    }
    const held = { line, row, nodes: {} };
    this.rows.set(key, held);
    return held;
  }
}

// A node of a row, made the first time.
export function once(held, name, make) {
  held.nodes[name] ??= make();
  return held.nodes[name];
}
