// Curves, river, heat-map and lineage as SVG.
import { s, h, address, share } from "./dom.js";

const WIDTH = 420, HEIGHT = 180, LEFT = 44, BOTTOM = 24, TOP = 10;

function frame(title, generations, top, children) {
  const x = scale(generations), y = (v) => HEIGHT - BOTTOM - (v / top) * (HEIGHT - BOTTOM - TOP);
  const ticks = [0, top / 2, top].map((v) => s("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" },
    top < 3 ? v.toFixed(1) : Math.round(v).toLocaleString("en")));
  const step = Math.ceil(generations / 12);
  const names = Array.from({ length: generations }, (_, g) => g).filter((g) => g % step === 0)
    .map((g) => s("text", { x: x(g), y: HEIGHT - 6, "text-anchor": "middle" }, g));
  return h("figure", {},
    h("figcaption", { class: "soft" }, title),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
      s("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 10}` }), ticks, names, children(x, y)));
}

function scale(generations) {
  return (g) => LEFT + 8 + (generations < 2 ? 0 : (g / (generations - 1)) * (WIDTH - LEFT - 26));
}

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

export function key(i, name) {
  return h("span", { class: "key" }, s("svg", { width: 11, height: 11, "aria-hidden": "true" }, s("rect", { class: `k${i}`, width: 11, height: 11 })), " ", name);
}

// The classes of a problem in the order of all their votes: the first seven have a colour of their own.
export function classesOf(problem) {
  const born = new Map(problem.candidates.map((one) => [one.uid, one])), votes = new Map();
  for (const { members } of problem.generations)
    for (const uid of members) { const c = born.get(uid)?.class ?? null; votes.set(c, (votes.get(c) ?? 0) + 1); }
  return [...votes].filter(([c]) => c !== null).sort((a, b) => b[1] - a[1]).map(([c]) => c);
}

export function colour(classes, one) {
  const i = classes.indexOf(one?.class ?? null);
  return i < 0 || i > 6 ? 7 : i;
}

export function river(problem, classes) {
  const born = new Map(problem.candidates.map((one) => [one.uid, one])), count = problem.generations.length;
  const bands = problem.generations.map(({ members }) => {
    const sums = Array(8).fill(0);
    for (const uid of members) sums[colour(classes, born.get(uid))] += 1 / members.length;
    return sums;
  });
  return frame("Share of the votes by generation", count, 1, (x, y) => Array.from({ length: 8 }, (_, k) => {
    const edge = (g, n) => y(bands[g].slice(0, n).reduce((a, b) => a + b, 0));
    const all = count === 1 ? [[x(0), 0], [WIDTH - 18, 0]] : bands.map((_, g) => [x(g), g]);
    return s("polygon", { class: `k${k}`, points: [...all.map(([px, g]) => `${px},${edge(g, k + 1)}`), ...all.toReversed().map(([px, g]) => `${px},${edge(g, k)}`)].join(" ") });
  }));
}

// A row a problem, a column a generation; darker is more correct, or a larger first class where nothing is graded.
export function heat(run, page) {
  const generations = Math.max(1, ...page.heat.map((one) => one.generation + 1)), size = 14;
  const cells = page.heat.map((one) => {
    const value = one.graded ? one.correct / one.graded : one.largest / one.size;
    return s("a", { href: address([run, "problem", one.ord]), tabindex: "-1", "aria-hidden": "true" },
      s("rect", { class: "axis", x: one.generation * size, y: (one.ord - page.first) * size, width: size - 1, height: size - 1 }),
      s("rect", { class: "cell", x: one.generation * size, y: (one.ord - page.first) * size, width: size - 1, height: size - 1, "fill-opacity": value },
        s("title", {}, `problem ${one.ord}, generation ${one.generation}: ${share(value)}`)));
  });
  const height = Math.max(1, page.rows.length) * size;
  return s("svg", { width: generations * size, height, viewBox: `0 0 ${generations * size} ${height}` }, cells);
}

// Generations are columns. A filled mark is correct; a click lights the ancestors.
export function lineage(problem, classes, chosen, onChoose) {
  const born = new Map(problem.candidates.map((one) => [one.uid, one]));
  const slots = Math.max(0, ...problem.candidates.map((one) => one.slot)), last = Math.max(0, ...problem.candidates.map((one) => one.generation));
  const dx = Math.max(46, Math.min(110, 1100 / (last + 1))), dy = 22, at = (one) => [24 + one.generation * dx, 26 + one.slot * dy];
  const lit = ancestors(born, chosen);
  const edges = problem.candidates.flatMap((one) => one.parents.filter((uid) => born.has(uid)).map((uid) => {
    const [x1, y1] = at(born.get(uid)), [x2, y2] = at(one);
    return s("line", { class: lit.has(one.uid) ? "edge lit" : "edge", x1, y1, x2, y2 });
  }));
  const marks = problem.candidates.map((one) => {
    const [cx, cy] = at(one), state = one.grade === "correct" ? "" : " wrong", name = `${one.uid}: ${one.grade ?? one.status}`;
    return s("circle", { class: `mark k${colour(classes, one)}${state}${lit.has(one.uid) ? " lit" : lit.size ? " dim" : ""}`, cx, cy, r: 7,
      "data-uid": one.uid, tabindex: "0", role: "button", "aria-label": name, onclick: () => onChoose(one.uid),
      onkeydown: (event) => { if (event.key === "Enter") onChoose(one.uid); } }, s("title", {}, name));
  });
  const names = Array.from({ length: last + 1 }, (_, g) => s("text", { x: 24 + g * dx, y: 12, "text-anchor": "middle" }, g));
  const width = 48 + last * dx, height = 44 + slots * dy;
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "lineage" },
    s("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, names, edges, marks));
}

export function ancestors(born, chosen) {
  const found = new Set(), waiting = chosen && born.has(chosen) ? [chosen] : [];
  while (waiting.length) {
    const uid = waiting.pop();
    if (found.has(uid) || !born.has(uid)) continue;
    found.add(uid);
    waiting.push(...born.get(uid).parents);
  }
  return found;
}

// Grids of colours, in the colours of ARC's own editor. A cell is a number from 0 to 9; anything else stays blank.
export function grids(found) {
  return found?.length ? h("div", { class: "grids" }, found.map((rows) => {
    const width = Math.max(...rows.map((row) => row.length)), side = Math.max(4, Math.min(18, Math.floor(240 / Math.max(width, rows.length))));
    return s("svg", { width: width * side, height: rows.length * side, role: "img", "aria-label": `a grid of ${rows.length} by ${width} cells` },
      rows.map((row, y) => row.map((cell, x) => s("rect", { class: Number.isInteger(cell) && cell >= 0 && cell <= 9 ? `g${cell}` : "g", x: x * side, y: y * side, width: side, height: side }))));
  })) : null;
}
