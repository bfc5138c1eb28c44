// Elements made of text nodes only: what a model wrote is never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

// A link within the pages. Every part is encoded, so that no name can lead elsewhere.
export function link(parts, ...children) {
  return h("a", { href: address(parts) }, ...children);
}

export function address(parts) {
  return "#/" + parts.map((part) => encodeURIComponent(part)).join("/");
}

export const to = {
  run: (run, ...rest) => ["run", run, ...rest],
  problem: (run, place, ...uid) => ["run", run, "problem", place, ...uid],
  candidate: (run, place, uid) => ["run", run, "candidate", place, uid],
  compare: (runs) => ["compare", ...runs],
};

// A part of a page that scrolls by itself, by keyboard too.
export function scroller(name, ...children) {
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": name }, children);
}

export function table(columns, rows) {
  const head = columns.map(([name, kind]) => h("th", { class: kind, scope: "col" }, name));
  const body = rows.map((row) => h("tr", {}, row.map((cell, i) => h("td", { class: columns[i][1] }, cell))));
  return scroller("table", h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

export function share(value) {
  return value === null || value === undefined ? "–" : value.toFixed(3);
}

export function cut(text, length = 120) {
  const shown = text === null || text === undefined ? "–" : String(text);
  return shown.length > length ? shown.slice(0, length) + " …" : shown;
}

export function verdict(grade, otherwise = "not graded") {
  return h("span", { class: grade === "correct" ? "good" : grade === "incorrect" ? "bad" : "soft" }, grade ?? otherwise);
}

export function number(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

// A part that is made when it is first opened.
export function folded(summary, make) {
  const element = h("details", { ontoggle: async () => {
    if (!element.open || element.childElementCount > 1) return;
    const holder = h("div", {}, h("p", { class: "soft" }, "Loading …"));
    element.append(holder);
    try {
      holder.replaceChildren(...[await make()].flat(Infinity));
    } catch (error) {
      holder.replaceChildren(h("p", { class: "bad", role: "alert" }, error.message));
    }
  } }, h("summary", {}, summary));
  return element;
}
