// All runs in the folders: a filter, and ticks to compare some.
import { get } from "../source.js";
import { h, link, address, table, share, number, to } from "../dom.js";

const COLUMNS = [["compare"], ["run"], ["preset"], ["model"], ["problem set"], ["seed", "number"], ["state"], ["problems", "number"],
  ["tokens", "number"], ["pass@1 first", "number"], ["last", "number"]];

export async function runsPage(filter = "") {
  const runs = await get("runs"), ticked = new Set();
  const holder = h("div", {}), comparing = h("p", { class: "bar" });
  const box = h("input", { type: "search", id: "filter", value: filter, placeholder: "words that must occur", oninput: () => {
    history.replaceState(null, "", box.value ? address(["runs", box.value]) : "#/");
    draw();
  } });

  function tick(name, event) {
    if (event.target.checked) ticked.add(name); else ticked.delete(name);
    told();
  }

  function told() {
    const chosen = [...ticked];
    comparing.replaceChildren(chosen.length < 2 ? "Tick two runs or more to compare them; the first one ticked is the baseline." :
      link(to.compare(chosen), `Compare ${chosen.length} runs with ${chosen[0]} as the baseline`));
  }

  function draw() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((one) => { const text = Object.values(one).join(" ").toLowerCase(); return words.every((word) => text.includes(word)); });
    holder.replaceChildren(shown.length ? table(COLUMNS, shown.map((one) => row(one, ticked.has(one.name), (event) => tick(one.name, event)))) :
      h("p", {}, runs.length ? "No run has all these words." : "There is no run in these folders yet."));
  }

  draw();
  told();
  return { element: h("div", {}, h("h1", {}, "Runs"), runs.length ? h("p", {}, h("label", { for: "filter" }, "Filter "), box) : null, holder, runs.length > 1 ? comparing : null) };
}

function row(one, ticked, onTick) {
  if (one.error) return ["", one.name, h("span", { class: "bad" }, one.error), ...Array(8).fill("")];
  return [h("input", { type: "checkbox", "aria-label": `compare ${one.name}`, checked: ticked, onchange: onTick }), link(to.run(one.name), one.name), one.preset, one.model,
    one.set ?? "–", one.seed, h("span", { class: one.state === "running" ? "good" : "soft" }, one.state), `${one.finished} of ${one.problems}`, number(one.tokens), share(one.first), share(one.last)];
}
