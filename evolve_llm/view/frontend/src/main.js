// Addresses: #/ and #/runs/FILTER, #/run/RUN, #/run/RUN/from/N, #/run/RUN/problem/PLACE[/UID],
// #/run/RUN/candidate/PLACE/UID, #/compare/RUN/RUN…
import { h, link, to } from "./dom.js";
import { candidatePage } from "./pages/candidate.js";
import { comparePage } from "./pages/compare.js";
import { problemPage } from "./pages/problem.js";
import { runPage } from "./pages/run.js";
import { runsPage } from "./pages/runs.js";

let shown = null, turn = 0;

function parts() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}

function build([page, ...rest]) {
  if (page === "compare") return comparePage(rest);
  if (page !== "run" || !rest.length) return runsPage(page === "runs" ? rest[0] : "");
  const [run, kind, place, uid] = rest;
  if (kind === "problem") return problemPage(run, place, uid);
  if (kind === "candidate") return candidatePage(run, place, uid);
  return runPage(run, kind === "from" ? place : 0, () => draw(true));
}

function path([page, run, kind, place]) {
  const found = [link([], "runs")];
  if (page === "run" && run !== undefined) found.push(" / ", link(to.run(run), run));
  if (kind === "candidate") found.push(" / ", link(to.problem(run, place), `problem ${place}`));
  return found;
}

async function draw(again = false) {
  const mine = ++turn, where = parts();
  let next;
  try {
    next = await build(where);
  } catch (error) {
    next = { element: h("div", {}, h("h1", {}, "This cannot be shown"), h("p", { class: "bad", role: "alert" }, error.message)) };
  }
  if (mine !== turn) { next.stop?.(); return; }
  shown?.stop?.();
  shown = next;
  document.getElementById("path").replaceChildren(...path(where));
  document.getElementById("page").replaceChildren(next.element);
  document.title = ["evolve-llm", ...where].join(" · ");
  if (!again) scrollTo(0, 0);
}

addEventListener("hashchange", () => draw());
addEventListener("keydown", (event) => {
  const where = shown?.keys?.[event.key];
  if (where && !event.altKey && !event.ctrlKey && !event.metaKey && !/^(input|textarea|pre)$/i.test(event.target.tagName)) location.hash = shown.go(where);
});
draw();
