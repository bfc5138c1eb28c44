// Grids of colours.
import { h, s } from "../dom.js";

// Grids of colours, in the colours of ARC's own editor. A cell is a number from 0 to 9; anything else stays blank.
export function grids(found) {
  return found?.length ? h("div", { class: "grids" }, found.map((rows) => {
    const width = Math.max(...rows.map((row) => row.length)), side = Math.max(4, Math.min(18, Math.floor(240 / Math.max(width, rows.length))));
    return s("svg", { width: width * side, height: rows.length * side, role: "img", "aria-label": `a grid of ${rows.length} by ${width} cells` },
      rows.map((row, y) => row.map((cell, x) => s("rect", { class: Number.isInteger(cell) && cell >= 0 && cell <= 9 ? `g${cell}` : "g", x: x * side, y: y * side, width: side, height: side }))));
  })) : null;
}
