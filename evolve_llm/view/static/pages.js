// The pages: each asks for its data and gives back an element.
import { get, follow } from "./source.js";
import { h, link, address, table, share, cut } from "./dom.js";
import { curves, river, heat, lineage, grids, classesOf, key } from "./pictures.js";
import { passages } from "./passages.js";

export async function runsPage() {
  const runs = await get("runs");
  const rows = runs.map((one) => one.error ? [one.name, h("span", { class: "bad" }, one.error), "", "", "", "", "", ""] :
    [link([one.name], one.name), one.preset, one.model, one.seed, `${one.finished} of ${one.problems}`,
      one.tokens.toLocaleString("en"), share(one.first), share(one.last)]);
  return { element: h("div", {}, h("h1", {}, "Runs"),
    rows.length ? table([["run"], ["preset"], ["model"], ["seed", "number"], ["problems finished", "number"],
      ["tokens", "number"], ["pass@1 first", "number"], ["last", "number"]], rows) : h("p", {}, "There is no run in these folders yet.")) };
}

export async function runPage(name, first, redraw) {
  const [run, page] = await Promise.all([get("run", { run: name }), get("problems", { run: name, first })]);
  if (run.error) throw new Error(run.error);
  const rows = run.generations, column = (key) => rows.map((row) => row[key]);
  const halves = rows.map((row) => row.graded > 1 ? 1.96 * Math.sqrt(Math.max(0, row.square - row.accuracy ** 2) / (row.graded - 1)) : 0);
  const graded = rows.some((row) => row.graded);
  const figures = rows.length === 0 ? h("p", {}, "No generation is finished yet; it will appear here by itself.") : h("div", { class: "figures" },
    graded ? curves("Correct by generation", [["pass@1 (band: 95 % over problems)", column("accuracy"), halves], ["majority", column("majority")], ["pass@N", column("any_correct")]], 1) : null,
    curves("Answer classes in a population, on average", [["classes", column("classes")]]),
    curves("Tokens by generation", [["tokens", column("tokens")]]),
    curves("Truncated and failed candidates", [["truncated", column("truncated")], ["failed", column("failed")]]));
  const list = table([["", "number"], ["problem"], ["answer"], ["verdict"], ["rule"]], page.rows.map((one) => [one.place,
    link([name, "problem", one.place], one.id), cut(one.answer), h("span", { class: one.grade === "correct" ? "good" : one.grade === "incorrect" ? "bad" : "soft" },
      one.grade ?? (one.finished ? "–" : "running")), one.rule ?? "–"]));
  const turn = h("p", {}, `Problems ${page.first + 1} to ${page.first + page.rows.length} of ${page.total}. `,
    page.first > 0 ? [link([name, "from", Math.max(0, page.first - page.page)], "previous"), " "] : null,
    page.first + page.page < page.total ? link([name, "from", page.first + page.page], "next") : null);
  const preset = run.config.preset;
  return { stop: run.finished < run.problems ? follow(name, redraw) : null, element: h("div", {}, h("h1", {}, name),
    h("p", { class: "soft" }, `${preset.name}: N=${preset.population}, K=${preset.parents}, T=${preset.generations} · ${run.model} · seed ${run.seed} · ${run.finished} of ${run.problems} problems finished · ${run.tokens.toLocaleString("en")} tokens`),
    figures, h("h2", {}, "Problems"), turn, h("h3", { class: "soft" }, "A row a problem, a column a generation; the darker, the larger the share ", graded ? "that is correct" : "of the largest answer class"),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "heat-map" }, heat(name, page)), list) };
}

export async function problemPage(name, place, chosen) {
  const problem = await get("problem", { run: name, place });
  const classes = classesOf(problem), holder = h("div", {}), detail = h("p", {});
  const draw = (uid) => {
    holder.replaceChildren(lineage(problem, classes, uid, (next) => { history.replaceState(null, "", address([name, "problem", place, next])); draw(next); }));
    const one = problem.candidates.find((each) => each.uid === uid);
    detail.replaceChildren(...(one ? [link([name, "candidate", place, uid], `Read candidate ${uid}`),
      `: ${one.operator}${one.parents.length ? " of " + one.parents.join(", ") : ""}; answer ${cut(one.answer, 200)}; ${one.grade ?? one.status}${one.rule ? " by " + one.rule : ""}`] :
      ["Click a candidate, and its ancestors light up. Filled marks are correct."]));
  };
  draw(chosen);
  return { element: h("div", {}, h("h1", {}, problem.id), h("h2", {}, "Question"), h("pre", { tabindex: "0" }, problem.question), grids(problem.grids),
    h("p", {}, "Reference: ", cut(JSON.stringify(problem.reference), 300), h("br"), "Answer: ", cut(problem.answer, 300), problem.uid ? [" from ", link([name, "candidate", place, problem.uid], problem.uid)] : null),
    problem.generations.length ? [h("h2", {}, "Votes"), h("div", { class: "figures" }, river(problem, classes)),
      h("p", {}, classes.slice(0, 7).map((one, i) => key(i, cut(one, 60))), key(7, "others, and no answer"))] : null,
    h("h2", {}, "Lineage"), detail, holder) };
}

function facts(one) {
  return h("p", { class: "soft" }, `${one.operator}${one.copied ? ", copied" : ""} · ${one.status}${one.reason ? ": " + one.reason : ""} · answer `, h("bdi", {}, cut(one.answer, 200)), " · ",
    h("span", { class: one.grade === "correct" ? "good" : one.grade === "incorrect" ? "bad" : null }, one.grade ?? "not graded"),
    one.rule ? ` by ${cut(one.rule)}` : "", one.detail ? ` (${cut(one.detail, 300)})` : "", ` · ${one.prompt_tokens} + ${one.completion_tokens} tokens`);
}

function thinking(one) {
  return one.thinking ? h("details", {}, h("summary", {}, "Thinking"), h("pre", { tabindex: "0" }, one.thinking)) : null;
}

export async function candidatePage(name, place, uid) {
  const found = await get("candidate", { run: name, place, uid }), one = found.candidate;
  const pieces = passages(one.text, found.parents.map((parent) => parent.text));
  const text = h("pre", { id: "text", tabindex: "0" }, pieces.map(([piece, parent]) => parent < 0 ? piece : h("mark", { class: `p${parent % 6}`, title: `from ${found.parents[parent].uid}` }, piece)));
  const step = (to, label) => to ? link([name, "candidate", place, to], label) : h("span", { class: "soft" }, label);
  return { keys: { ArrowLeft: found.previous, ArrowRight: found.next }, go: (to) => address([name, "candidate", place, to]),
    element: h("div", {}, h("h1", {}, `Candidate ${one.uid} of ${found.problem}`),
      h("p", {}, step(found.previous, "← previous"), " · ", step(found.next, "next →"), " · ", link([name, "problem", place, one.uid], "in its lineage")),
      facts(one), grids(one.grids), thinking(one), text,
      found.parents.length ? h("h2", {}, "Its parents. Passages of four words and more that it shares have the parent's colour.") : null,
      h("div", { class: "beside" }, found.parents.map((parent, i) => h("section", {}, h("h3", {}, h("mark", { class: `p${i % 6}` }, link([name, "candidate", place, parent.uid], parent.uid))),
        facts(parent), grids(parent.grids), thinking(parent), h("pre", { tabindex: "0" }, parent.text))))) };
}
