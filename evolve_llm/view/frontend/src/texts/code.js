// Programs with their syntax coloured, made of text nodes like everything else.
import python from "highlight.js/lib/languages/python";
import { createLowlight } from "lowlight";
import { h } from "../dom.js";

const LONGEST = 50_000;
const lowlight = createLowlight({ python });

export function program(text) {
  return text.length > LONGEST ? [text] : lowlight.highlight("python", text).children.map(element);
}

function element(node) {
  if (node.type === "text") return node.value;
  return h("span", { class: node.properties.className.join(" ") }, node.children.map(element));
}
