// Who descends from whom.
import { s, scroller } from "../dom.js";
import { colour } from "./river.js";

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
      onkeydown: (event) => pressed(event, one, onChoose) }, s("title", {}, name));
  });
  const names = Array.from({ length: last + 1 }, (_, g) => s("text", { x: 24 + g * dx, y: 12, "text-anchor": "middle" }, g));
  const width = 48 + last * dx, height = 44 + slots * dy;
  return scroller("lineage", s("svg", { class: "lineage", width, height, viewBox: `0 0 ${width} ${height}` }, names, edges, marks));
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Enter chooses; the arrows move to the neighbour in the generation beside, or above and below.
function pressed(event, one, onChoose) {
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onChoose(one.uid); return; }
  const step = STEPS[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  const next = document.querySelector(`.mark[data-uid="${one.generation + step[0]}.${one.slot + step[1]}"]`);
  if (next) { event.preventDefault(); next.focus(); }
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
