// Two runs problem by problem: a disc where problems lie, as large as they are many.
import { h, s } from "../dom.js";

const SIDE = 320, LEFT = 44, TOP = 18, FOOT = 40;

// points: [share correct in the first run, in the other, how many problems]
export function scatter(points, first, other) {
  const x = (v) => LEFT + v * (SIDE - LEFT - 16), y = (v) => SIDE - FOOT - v * (SIDE - FOOT - TOP);
  const most = Math.max(1, ...points.map(([, , count]) => count));
  const discs = points.map(([a, b, count]) => s("circle", { class: `disc ${b > a ? "above" : b < a ? "below" : "between"}`, cx: x(a), cy: y(b), r: 3 + 11 * Math.sqrt(count / most) },
    s("title", {}, `${count} problem${count === 1 ? "" : "s"}: ${a.toFixed(2)} in ${first}, ${b.toFixed(2)} in ${other}`)));
  const ticks = [0, 0.5, 1].flatMap((v) => [s("text", { x: x(v), y: SIDE - FOOT + 16, "text-anchor": "middle" }, v.toFixed(1)), s("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(1))]);
  const title = `Share correct at the end, problem by problem: ${first} across, ${other} up`;
  return h("figure", { class: "square" }, h("figcaption", { class: "soft" }, title),
    s("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": title }, s("path", { class: "axis", d: `M${x(0)} ${y(1)}V${y(0)}H${x(1)}M${x(0)} ${y(0)}L${x(1)} ${y(1)}` }), ticks, discs));
}
