// A forest plot: each row a difference with its interval, and the line of no difference.
import { h, s, scroller } from "../dom.js";

const WIDTH = 720, NAMES = 300, ROW = 24, TOP = 8, FOOT = 26;

// rows: { name, difference, interval or null }
export function forest(title, rows) {
  const ends = rows.flatMap((row) => [row.difference, ...(row.interval ?? [])]);
  const most = Math.max(0.01, ...ends.map(Math.abs)) * 1.08;
  const x = (value) => NAMES + ((value + most) / (2 * most)) * (WIDTH - NAMES - 16);
  const bottom = TOP + rows.length * ROW, height = bottom + FOOT;
  const marks = rows.map((row, i) => {
    const y = TOP + i * ROW + ROW / 2, [low, high] = row.interval ?? [row.difference, row.difference];
    const told = `${row.name}: ${signed(row.difference)}` + (row.interval ? ` [${signed(low)}, ${signed(high)}]` : "");
    const kind = low > 0 ? "above" : high < 0 ? "below" : "between";
    return s("g", { class: `forest ${kind}` }, s("title", {}, told), s("text", { x: NAMES - 10, y: y + 4, "text-anchor": "end" }, row.name),
      s("line", { x1: x(low), x2: x(high), y1: y, y2: y }), s("rect", { x: x(row.difference) - 4, y: y - 4, width: 8, height: 8 }));
  });
  const ticks = [-most / 1.08, 0, most / 1.08].map((value) => s("text", { x: x(value), y: height - 8, "text-anchor": "middle" }, signed(value)));
  return h("figure", { class: "wide" }, h("figcaption", { class: "soft" }, title),
    scroller(title, s("svg", { width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": title },
      s("line", { class: "axis", x1: x(0), x2: x(0), y1: TOP, y2: bottom }), marks, ticks)));
}

export function signed(value) {
  return (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(3);
}
