// The votes of a problem as a river: answer classes wax and wane.
import { s } from "../dom.js";
import { frame } from "./frame.js";

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
