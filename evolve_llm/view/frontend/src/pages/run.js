// One run: its curves by generation, its diversity, and its problems with their heat-map.
import { get, follow } from "../source.js";
import { h, link, table, share, cut, number, scroller, to, verdict } from "../dom.js";
import { curves } from "../pictures/curves.js";
import { heat } from "../pictures/heat.js";

export async function runPage(name, first, redraw) {
  const [run, page] = await Promise.all([get("run", { run: name }), get("problems", { run: name, first })]);
  if (run.error) throw new Error(run.error);
  const graded = run.generations.some((row) => row.graded), pictures = figures(run, graded);
  const live = h("p", { class: "soft", role: "status" }), state = { stopped: false };
  const unfollow = run.finished < run.problems ? follow(name, (news, isFirst) => {
    live.textContent = pace(run, news);
    if (!isFirst) redraw();
  }) : () => {};
  if (run.generations.length) get("diversity", { run: name }).then((found) => { if (!state.stopped) pictures.append(...diversity(found.generations)); }, () => {});
  return { stop: () => { state.stopped = true; unfollow(); }, element: h("div", {}, h("h1", {}, name), settings(run), live,
    run.generations.length ? pictures : h("p", {}, "No generation is finished yet; it will appear here by itself."),
    h("h2", {}, "Problems"), turn(name, page), h("p", { class: "soft" }, "A row a problem, a column a generation; the fuller its colour, the larger the share ", graded ? "that is correct" : "of the largest answer class", "."),
    scroller("heat-map", heat(name, page)), problems(name, page)) };
}

function settings(run) {
  const preset = run.config.preset;
  return h("p", { class: "soft" }, `${preset.name}: N=${preset.population}, K=${preset.parents}, T=${preset.generations} · ${run.model} · seed ${run.seed} · ` +
    `${run.finished} of ${run.problems} problems finished, ${run.state} · ${number(run.tokens)} tokens${run.seconds ? ` · ${duration(run.seconds)}` : ""}`);
}

function duration(seconds) {
  return seconds < 90 ? `${seconds.toFixed(1)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function pace(run, news) {
  if (!news.per_second) return `${run.under_way} problems are under way. New generations appear by themselves.`;
  const each = run.tokens / Math.max(1, news.chains);
  return `${run.under_way} problems are under way: ${news.per_second.toFixed(1)} chains a second, about ${number(Math.round(news.per_second * each))} tokens a second.`;
}

function figures(run, graded) {
  const rows = run.generations, column = (key) => rows.map((row) => row[key]);
  const halves = (mean, square) => rows.map((row) => row.graded > 1 ? 1.96 * Math.sqrt(Math.max(0, row[square] - row[mean] ** 2) / (row.graded - 1)) : 0);
  return h("div", { class: "figures" },
    graded ? curves("Correct by generation, each with its 95 % band over problems", [["pass@1", column("accuracy"), halves("accuracy", "square")], ["majority", column("majority"), halves("majority", "majority_square")],
      ["pass@N", column("any_correct"), halves("any_correct", "any_correct")]], 1) : null,
    curves("Answer classes in a population, on average", [["classes", column("classes")]]),
    curves("Tokens by generation", [["tokens", column("tokens")]]),
    curves("Truncated and failed candidates", [["truncated", column("truncated")], ["failed", column("failed")]]));
}

function diversity(rows) {
  const column = (key) => rows.map((row) => row[key]);
  return [curves("Entropy of the answer classes, bits", [["entropy", column("entropy")]]),
    column("effective_parents").some((one) => one !== null) ? curves("Effective parents of a generation (1/Σp²)", [["effective parents", column("effective_parents")]]) : null,
    column("minority").some(Boolean) ? curves("Problems with right answers in the minority one generation before", [["held a right minority", column("minority")], ["lost it", column("lost")]]) : null].filter(Boolean);
}

function turn(name, page) {
  return h("p", {}, page.rows.length ? `Problems ${page.first + 1} to ${page.first + page.rows.length} of ${number(page.total)}. ` : "No problem stands here. ",
    page.first > 0 ? [link(to.run(name, "from", Math.max(0, page.first - page.page)), "previous"), " "] : null,
    page.first + page.page < page.total ? [link(to.run(name, "from", page.first + page.page), "next"), " "] : null,
    page.first + 2 * page.page < page.total ? link(to.run(name, "from", Math.floor((page.total - 1) / page.page) * page.page), "last") : null);
}

function problems(name, page) {
  return table([["", "number"], ["problem"], ["answer"], ["verdict"], ["rule"]], page.rows.map((one) => [one.place, link(to.problem(name, one.place), one.id),
    cut(one.answer), verdict(one.grade, one.finished ? "–" : "running"), cut(one.rule)]));
}
