// One candidate beside its parents: what it took from whom, and what it was asked.
import { get } from "../source.js";
import { h, link, address, cut, folded, number, to, verdict } from "../dom.js";
import { grids } from "../pictures/grids.js";
import { heated, strip } from "../pictures/strip.js";
import { program } from "../texts/code.js";
import { markdown } from "../texts/markdown.js";
import { passages, shared, unit } from "../texts/passages.js";

export async function candidatePage(name, place, uid) {
  const found = await get("candidate", { run: name, place, uid }), one = found.candidate, parents = found.parents;
  const pieces = passages(one.text, parents.map((parent) => parent.text));
  const text = h("pre", { id: "text", tabindex: "0" }, pieces.map(([piece, parent]) => parent < 0 ? piece : h("mark", { class: `p${parent % 6}`, title: `from ${parents[parent].uid}` }, piece)));
  const step = (where, label) => where ? link(to.candidate(name, place, where), label) : h("span", { class: "soft" }, label);
  return { keys: { ArrowLeft: found.previous, ArrowRight: found.next }, go: (where) => address(to.candidate(name, place, where)),
    element: h("div", {}, h("h1", {}, `Candidate ${one.uid} of ${found.problem}`),
      h("p", {}, step(found.previous, "← previous"), " · ", step(found.next, "next →"), " · ", link(to.problem(name, place, one.uid), "in its lineage")),
      facts(one), answer(found), grids(one.grids), thinking(one), text, parents.length ? taken(one.text, parents) : null,
      found.logprobs?.length ? [strip(found.logprobs), heated(one.text, found.logprobs)] : null,
      folded("Set as Markdown and LaTeX", () => markdown(one.text) ?? h("p", {}, "The text is too long to be set.")),
      folded("The prompt as it was sent", () => asked(name, place, uid)),
      parents.length ? h("h2", {}, `Its parents. A passage of four ${unit(one.text)} and more that it shares has the parent's colour.`) : null,
      h("div", { class: "beside" }, parents.map((parent, i) => h("section", {}, h("h3", {}, h("mark", { class: `p${i % 6}` }, link(to.candidate(name, place, parent.uid), parent.uid))),
        facts(parent), grids(parent.grids), thinking(parent), h("pre", { tabindex: "0" }, parent.text))))) };
}

function facts(one) {
  return h("p", { class: "soft" }, `${one.operator}${one.copied ? ", copied" : ""} · ${one.status}${one.reason ? ": " + one.reason : ""} · answer `, h("bdi", {}, cut(one.answer, 200)), " · ",
    verdict(one.grade), one.rule ? ` by ${cut(one.rule)}` : "", ` · ${number(one.prompt_tokens)} + ${number(one.completion_tokens)} tokens`);
}

// The program of a candidate that answers with one, and what the grader said of it: the test that failed.
function answer({ candidate, program: isProgram }) {
  const said = candidate.detail ? h("pre", { tabindex: "0", class: candidate.grade === "incorrect" ? "failing" : null }, candidate.detail) : null;
  return [said ? [h("h2", {}, candidate.grade === "incorrect" ? "What failed" : "What the grader said"), said] : null,
    isProgram && candidate.answer ? [h("h2", {}, "Its program"), h("pre", { tabindex: "0", class: "program" }, program(candidate.answer))] : null];
}

function taken(text, parents) {
  const percent = (those) => `${Math.round(100 * shared(text, those.map((one) => one.text)))} %`;
  return h("p", {}, `Of its ${unit(text)}, ${percent(parents)} stand in its parents: `, parents.map((parent, i) => [i ? ", " : "", h("mark", { class: `p${i % 6}` }, `${percent([parent])} in ${parent.uid}`)]),
    parents.length > 1 ? ". What stands in several has the colour of the first of the longest." : ".");
}

function thinking(one) {
  return one.thinking ? h("details", {}, h("summary", {}, "Thinking"), h("pre", { tabindex: "0" }, one.thinking)) : null;
}

async function asked(name, place, uid) {
  const found = await get("prompt", { run: name, place, uid });
  if (found.why) return h("p", {}, `It cannot be shown: ${found.why}.`);
  if (!found.asked.length) return h("p", {}, "The model was not asked: this candidate is a copy of its parent.");
  return found.asked.map((one, i) => [
    h("h3", {}, `Request ${i + 1} of ${found.asked.length}${one.purpose === "vary" ? "" : `, to ${one.purpose}`}. `,
      one.exact ? h("span", { class: "good" }, "Its digest is that of what the model was sent.") :
        h("span", { class: "bad" }, "Made again, but its digest differs from that of what was sent: other templates, or chains cut by the model's tokens.")),
    one.messages.map((message) => [h("p", { class: "soft" }, message.role), h("pre", { tabindex: "0" }, message.content)])]).flat(2);
}
