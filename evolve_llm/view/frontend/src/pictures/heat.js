// The heat-map of a run.
import { s, address, share, to } from "../dom.js";

// A row a problem, a column a generation; darker is more correct, or a larger first class where nothing is graded.
export function heat(run, page) {
  const generations = Math.max(1, ...page.heat.map((one) => one.generation + 1)), size = 14;
  const cells = page.heat.map((one) => {
    const value = one.graded ? one.correct / one.graded : one.largest / one.size;
    return s("a", { href: address(to.problem(run, one.ord)), tabindex: "-1", "aria-hidden": "true" },
      s("rect", { class: "axis", x: one.generation * size, y: (one.ord - page.first) * size, width: size - 1, height: size - 1 }),
      s("rect", { class: "cell", x: one.generation * size, y: (one.ord - page.first) * size, width: size - 1, height: size - 1, "fill-opacity": value },
        s("title", {}, `problem ${one.ord}, generation ${one.generation}: ${share(value)}`)));
  });
  const height = Math.max(1, page.rows.length) * size;
  return s("svg", { width: generations * size, height, viewBox: `0 0 ${generations * size} ${height}` }, cells);
}
