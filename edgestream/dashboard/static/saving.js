// What is seen, as files: pictures as PNG, numbers as CSV.

import { INK } from "./palette.js";

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function savePicture(canvases, title, name) {
  const scale = window.devicePixelRatio || 1;
  const head = 28 * scale;
  const whole = document.createElement("canvas");
  whole.width = Math.max(...canvases.map((c) => c.width));
  whole.height = head + canvases.reduce((sum, c) => sum + c.height, 0);
  const pen = whole.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, whole.width, whole.height);
  pen.fillStyle = INK;
  pen.font = `${14 * scale}px system-ui, sans-serif`;
  pen.fillText(title, 10 * scale, 19 * scale);
  let top = head;
  for (const canvas of canvases) {
    pen.drawImage(canvas, 0, top);
    top += canvas.height;
  }
  whole.toBlob((blob) => save(blob, `${name}.png`), "image/png");
}

// columns: [[name, values], ...] of equal length; words: lines about what they are
export function saveNumbers(columns, words, name) {
  const lines = words.map((line) => `# ${line}`);
  lines.push(columns.map(([heading]) => heading).join(","));
  const n = columns[0][1].length;
  for (let i = 0; i < n; i++) {
    lines.push(columns.map(([, values]) => values[i] ?? "").join(","));
  }
  save(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }), `${name}.csv`);
}

// label: the same in more words, for who hears it
export function button(words, act, label = "") {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}
