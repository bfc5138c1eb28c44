// A formula set by KaTeX, which trusts nothing and expands only so far; what it cannot set stays as it was written.
import katex from "katex";
import { h } from "../dom.js";

const LONGEST = 2_000;
const OPTIONS = { trust: false, maxExpand: 100, maxSize: 10, strict: "ignore", throwOnError: true, output: "htmlAndMathml" };

export function formula(tex, displayMode) {
  const element = h(displayMode ? "div" : "span", { class: "formula" });
  try {
    if (tex.length > LONGEST) throw new RangeError("too long");
    katex.render(tex, element, { ...OPTIONS, displayMode });
  } catch {
    element.replaceChildren(h("code", {}, displayMode ? `$$${tex}$$` : `$${tex}$`));
  }
  return element;
}
