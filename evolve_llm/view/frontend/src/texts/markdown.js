// Markdown and LaTeX, set. markdown-it tells what a text is made of; the elements are made here, of text nodes, so
// that no markup, link or picture of the text comes alive.
import MarkdownIt from "markdown-it";
import { tex } from "@mdit/plugin-tex";
import { h } from "../dom.js";
import { program } from "./code.js";
import { formula } from "./math.js";

const LONGEST = 50_000, MOST_FORMULAS = 300;
const ELEMENTS = new Set(["p", "ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "em", "strong", "s"]);

const reader = new MarkdownIt({ html: false, linkify: false, maxNesting: 30 }).use(tex, { delimiters: "all", render: String });

// The text as elements, or null where it is too long to be set.
export function markdown(text) {
  if (text.length > LONGEST) return null;
  const root = h("div", { class: "set" });
  fill(root, reader.parse(displayed(text), {}), { formulas: 0 });
  return root;
}

// A displayed formula within a line gets lines of its own, which is where the reader looks for one.
function displayed(text) {
  const parts = text.split(/(^```[\s\S]*?^```)/m);
  return parts.map((part, i) => i % 2 ? part : part.replace(/\\\[([\s\S]+?)\\\]|\$\$([\s\S]+?)\$\$/g, (_, a, b) => `\n\n$$\n${(a ?? b).trim()}\n$$\n\n`)).join("");
}

function fill(root, tokens, count) {
  const open = [root], top = () => open.at(-1);
  for (const token of tokens) {
    if (token.type === "inline") fill(top(), token.children, count);
    else if (token.hidden) continue;
    else if (token.nesting === 1) { const made = opened(token); top().append(made); open.push(made); }
    else if (token.nesting === -1) { if (open.length > 1) open.pop(); }
    else top().append(leaf(token, count));
  }
}

function opened(token) {
  if (token.type === "link_open") return h("span", { class: "address", title: token.attrGet("href") });
  if (token.type === "heading_open") return h("p", { class: "heading" });
  const start = token.type === "ordered_list_open" ? token.attrGet("start") : null;
  return ELEMENTS.has(token.tag) ? h(token.tag, start ? { start } : {}) : h("span");
}

function leaf(token, count) {
  switch (token.type) {
    case "math_inline": case "math_block":
      return ++count.formulas > MOST_FORMULAS ? h("code", {}, `$${token.content}$`) : formula(token.content, token.type === "math_block");
    case "code_inline": return h("code", {}, token.content);
    case "fence": case "code_block":
      return h("pre", { tabindex: "0" }, /^py/i.test(token.info) ? program(token.content) : token.content);
    case "image": return h("span", { class: "address", title: token.attrGet("src") }, `[picture: ${token.content}]`);
    case "hr": return h("hr");
    case "hardbreak": return h("br");
    case "softbreak": return document.createTextNode("\n");
    default: return document.createTextNode(token.content);
  }
}
