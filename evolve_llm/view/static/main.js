// Addresses: #/RUN, #/RUN/from/N, #/RUN/problem/PLACE[/UID], #/RUN/candidate/PLACE/UID.
import { h, link } from "./dom.js";
import { runsPage, runPage, problemPage, candidatePage } from "./pages.js";

let shown = null, turn = 0;

function parts() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}

function build([run, kind, place, uid]) {
  if (run === undefined) return runsPage();
  if (kind === "problem") return problemPage(run, place, uid);
  if (kind === "candidate") return candidatePage(run, place, uid);
  return runPage(run, kind === "from" ? place : 0, () => draw(true));
}

async function draw(again = false) {
  const mine = ++turn, where = parts();
  let next;
  try {
    next = await build(where);
  } catch (error) {
    next = { element: h("p", { class: "bad", role: "alert" }, error.message) };
  }
  if (mine !== turn) { next.stop?.(); return; }
  shown?.stop?.();
  shown = next;
  document.getElementById("path").replaceChildren(link([], "runs"), ...(where.length ? [" / ", link([where[0]], where[0])] : []),
    ...(where[1] === "candidate" ? [" / ", link([where[0], "problem", where[2]], `problem ${where[2]}`)] : []));
  document.getElementById("page").replaceChildren(next.element);
  document.title = ["evolve-llm", ...where].join(" · ");
  if (!again) scrollTo(0, 0);
}

addEventListener("hashchange", () => draw());
addEventListener("keydown", (event) => {
  const to = shown?.keys?.[event.key];
  if (to && !event.altKey && !event.ctrlKey && !event.metaKey) location.hash = shown.go(to);
});
draw();
