// The frame of a picture over generations: axes, their numbers, and what each colour is.
import { h, s } from "../dom.js";

const WIDTH = 420, HEIGHT = 180, LEFT = 44, BOTTOM = 24, TOP = 10;

export function frame(title, generations, top, children) {
  const x = scale(generations), y = (v) => HEIGHT - BOTTOM - (v / top) * (HEIGHT - BOTTOM - TOP);
  const ticks = [0, top / 2, top].map((v) => s("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" },
    top < 3 ? v.toFixed(1) : Math.round(v).toLocaleString("en")));
  const step = Math.ceil(generations / 12);
  const names = Array.from({ length: generations }, (_, g) => g).filter((g) => g % step === 0)
    .map((g) => s("text", { x: x(g), y: HEIGHT - 6, "text-anchor": "middle" }, g));
  return h("figure", {},
    h("figcaption", { class: "soft" }, title),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
      s("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 10}` }), ticks, names, children(x, y)));
}

function scale(generations) {
  return (g) => LEFT + 8 + (generations < 2 ? 0 : (g / (generations - 1)) * (WIDTH - LEFT - 26));
}

export function key(i, name) {
  return h("span", { class: "key" }, s("svg", { width: 11, height: 11, "aria-hidden": "true" }, s("rect", { class: `k${i}`, width: 11, height: 11 })), " ", name);
}
