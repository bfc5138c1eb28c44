// The log-probability of each token of a chain: as a strip of bars, the taller the less likely, and as a heat on the
// text where a token is a character, so that it is known which is which.
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

const STEPS = [-0.1, -0.5, -1, -2, -4];

// The text with its characters shaded, or null where its tokens are not its characters (and the mark of its end).
export function heated(text, logprobs) {
  const characters = [...text];
  if (![0, 1].includes(logprobs.length - characters.length)) return null;
  const parts = [];
  characters.forEach((one, i) => {
    const level = STEPS.filter((step) => logprobs[i] < step).length, last = parts.at(-1);
    if (last && last[1] === level) last[0] += one; else parts.push([one, level]);
  });
  return h("pre", { tabindex: "0", class: "heated" }, parts.map(([piece, level]) => level ? h("span", { class: `l${level}` }, piece) : piece));
}
