// One problem: the question, the votes as a river, and who descends from whom.
import { get } from "../source.js";
import { h, link, address, cut, folded, to, verdict } from "../dom.js";
import { key } from "../pictures/frame.js";
import { grids } from "../pictures/grids.js";
import { lineage } from "../pictures/lineage.js";
import { classesOf, river } from "../pictures/river.js";
import { markdown } from "../texts/markdown.js";

export async function problemPage(name, place, chosen) {
  const problem = await get("problem", { run: name, place });
  const classes = classesOf(problem), holder = h("div", {}), detail = h("p", { role: "status" });
  const draw = (uid) => {
    const focused = document.activeElement?.dataset?.uid;
    holder.replaceChildren(lineage(problem, classes, uid, (next) => { history.replaceState(null, "", address(to.problem(name, place, next))); draw(next); }));
    if (focused) holder.querySelector(`[data-uid="${focused}"]`)?.focus();
    const one = problem.candidates.find((each) => each.uid === uid);
    detail.replaceChildren(...(one ? told(name, place, one) : ["Click a candidate, and its ancestors light up. Filled marks are correct. The arrow keys move from mark to mark."]));
  };
  draw(chosen);
  return { element: h("div", {}, h("h1", {}, problem.id), h("h2", {}, "Question"), pictures(problem.pictures), question(problem.question), grids(problem.grids),
    h("p", {}, "Reference: ", cut(JSON.stringify(problem.reference), 300), h("br"), "Answer: ", cut(problem.answer, 300), problem.uid ? [" from ", link(to.candidate(name, place, problem.uid), problem.uid)] : null),
    problem.generations.length ? [h("h2", {}, "Votes"), h("div", { class: "figures" }, river(problem, classes)),
      h("p", {}, classes.slice(0, 7).map((one, i) => key(i, cut(one, 60))), key(7, "others, and no answer"))] : null,
    h("h2", {}, "Lineage"), detail, holder) };
}

function told(name, place, one) {
  return [link(to.candidate(name, place, one.uid), `Read candidate ${one.uid}`), `: ${one.operator}${one.parents.length ? " of " + one.parents.join(", ") : ""}; answer `,
    h("bdi", {}, cut(one.answer, 200)), "; ", verdict(one.grade, one.status), one.rule ? ` by ${cut(one.rule)}` : ""];
}

function question(text) {
  const written = h("pre", { tabindex: "0" }, text), set = markdown(text);
  return set ? [set, folded("As it was written", () => written)] : written;
}

function pictures(urls) {
  const safe = (urls ?? []).filter((url) => /^data:image\/(png|jpeg|gif|webp);base64,/.test(url));
  return safe.length ? h("p", {}, safe.map((src, i) => h("img", { src, alt: `picture ${i + 1} of the question`, class: "picture" }))) : null;
}
