// Curves by generation, with bands.
import { h, s, share } from "../dom.js";
import { frame, key } from "./frame.js";

// series: [name, values by generation, optional half widths]
export function curves(title, series, top) {
  const count = Math.max(...series.map(([, values]) => values.length));
  const highest = top ?? (Math.max(1, ...series.flatMap(([, values]) => values.map((v) => v ?? 0))) * 1.05);
  const picture = frame(title, count, highest, (x, y) => series.map(([name, values, halves], i) => {
    const points = values.map((v, g) => [g, v]).filter(([, v]) => v !== null && v !== undefined);
    const inside = (v) => y(Math.min(highest, Math.max(0, v)));
    const upper = points.map(([g, v]) => `${x(g)},${inside(v + (halves?.[g] ?? 0))}`);
    const lower = points.map(([g, v]) => `${x(g)},${inside(v - (halves?.[g] ?? 0))}`).reverse();
    return [halves ? s("polygon", { class: `band k${i}`, points: [...upper, ...lower].join(" ") }) : null,
      s("polyline", { class: `curve k${i}`, "fill-opacity": 0, points: points.map(([g, v]) => `${x(g)},${y(v)}`).join(" ") }),
      points.map(([g, v]) => s("circle", { class: `point k${i}`, cx: x(g), cy: y(v), r: 3 }, s("title", {}, `${name}, generation ${g}: ${share(v)}`)))];
  }));
  picture.append(h("div", { class: "soft" }, series.map(([name], i) => key(i, name))));
  return picture;
}
