// Runs against the first of them: the table of `compare`, a forest plot, and the problems that changed sides.
import { get } from "../source.js";
import { h, link, table, share, number, to, verdict } from "../dom.js";
import { forest, signed } from "../pictures/forest.js";
import { scatter } from "../pictures/scatter.js";

const MOMENTS = { end: "at the end", "equal tokens": "at equal tokens" };

export async function comparePage(names) {
  const found = await get("compare", names.map((name) => ["run", name]));
  const [baseline, ...others] = found.runs;
  const rows = found.contrasts.flatMap((contrast, i) => contrast.rows.filter((row) => row.estimate && row.moment in MOMENTS).map((row) => ({ ...row, name: others[i] })));
  return { element: h("div", {}, h("h1", {}, `Compared with ${baseline}`), h("p", { class: "soft" }, `${number(found.problems)} problems that all have finished. Differences are paired by problem; intervals are 95 % by bootstrap over problems.`),
    rows.length ? forest("Difference from the baseline", rows.map((row) => ({ name: `${row.name}: ${row.metric} ${MOMENTS[row.moment]}`, difference: row.estimate.difference, interval: row.estimate.interval }))) : null,
    estimates(baseline, rows), found.notes.map((note) => h("p", { class: "soft" }, note)),
    found.contrasts.map((contrast, i) => about(baseline, found.pairs[i], contrast))) };
}

function estimates(baseline, rows) {
  const columns = [["run"], ["metric"], ["moment"], [baseline, "number"], ["run's", "number"], ["difference", "number"], ["95 %"], ["p (Holm)", "number"], ["tokens"]];
  return table(columns, rows.map(({ name, metric, moment, tokens, estimate: one }) => [link(to.run(name), name), metric, MOMENTS[moment], share(one.baseline), share(one.value), signed(one.difference),
    one.interval ? `${signed(one.interval[0])} to ${signed(one.interval[1])}` : "–", one.p_holm.toFixed(3), tokens ? tokens.map(number).join(" and ") : "–"]));
}

function about(baseline, pair, contrast) {
  const count = pair.gained + pair.lost;
  return h("section", {}, h("h2", {}, pair.run), contrast.changed.length ? h("p", { class: "soft" }, "What differs: ", contrast.changed.join("; "), ".") : null, contrast.notes.map((note) => h("p", { class: "soft" }, note, ".")),
    pair.points.length ? h("div", { class: "figures" }, scatter(pair.points, baseline, pair.run)) : null,
    h("h3", {}, `Answers that changed sides: ${pair.gained} became right, ${pair.lost} became wrong`),
    count > pair.changed.length ? h("p", { class: "soft" }, `The first ${pair.changed.length} are listed.`) : null,
    count ? table([["problem"], [baseline], [pair.run]], pair.changed.map((one) => [one.id, link(to.problem(baseline, one.places[0]), verdict(one.grades[0])), link(to.problem(pair.run, one.places[1]), verdict(one.grades[1]))])) : null);
}
