// The log-probability of each token of a chain, as a strip of bars: the taller, the less likely.
import { h, s } from "../dom.js";

const WIDTH = 1000, HEIGHT = 60, LOWEST = -6;

export function strip(logprobs) {
  const count = Math.min(logprobs.length, WIDTH), each = logprobs.length / count;
  const bars = Array.from({ length: count }, (_, i) => {
    const part = logprobs.slice(Math.floor(i * each), Math.max(Math.floor(i * each) + 1, Math.floor((i + 1) * each)));
    const value = Math.max(LOWEST, Math.min(...part)), height = (value / LOWEST) * HEIGHT;
    return s("rect", { class: "bar", x: (i * WIDTH) / count, y: HEIGHT - height, width: WIDTH / count, height }, s("title", {}, `token ${Math.floor(i * each)}: ${value.toFixed(2)}`));
  });
  const title = `Log-probabilities of its ${logprobs.length.toLocaleString("en")} tokens, from first to last; a full bar is ${LOWEST} or less`;
  return h("figure", { class: "wide" }, h("figcaption", { class: "soft" }, title),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "strip", role: "img", "aria-label": title }, bars));
}
