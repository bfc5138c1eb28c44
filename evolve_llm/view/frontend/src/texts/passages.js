// Which passages of a text stand in which parent: word by word, the longest match first from the left. A chain of
// fewer than eight words is read character by character.

const LEAST = 4, PLACES = 16, WORDS = 50000, FEW = 8;

export const unit = (text) => (text.match(/\S+/g)?.length ?? 0) < FEW ? "characters" : "words";

// Returns [text, parent or -1] pairs that together are the text.
export function passages(text, parents) {
  const pattern = unit(text) === "words" ? /\s*\S+/g : /\s*\S/gu, words = (one) => (one.match(pattern) ?? []).slice(0, WORDS);
  const child = words(text), bare = child.map((word) => word.trim());
  const others = parents.map((one) => words(one).map((word) => word.trim()));
  const index = new Map();
  others.forEach((list, parent) => {
    for (let i = 0; i + LEAST <= list.length; i++) {
      const name = list.slice(i, i + LEAST).join(" ");
      const places = index.get(name) ?? [];
      if (places.length < PLACES) places.push([parent, i]);
      index.set(name, places);
    }
  });
  const found = [];
  const add = (piece, parent) => {
    const last = found.at(-1);
    if (last && last[1] === parent) last[0] += piece; else found.push([piece, parent]);
  };
  for (let i = 0; i < child.length;) {
    let best = 0, from = -1;
    for (const [parent, start] of index.get(bare.slice(i, i + LEAST).join(" ")) ?? []) {
      let n = 0;
      while (i + n < bare.length && start + n < others[parent].length && bare[i + n] === others[parent][start + n]) n++;
      if (n > best) [best, from] = [n, parent];
    }
    const taken = best >= LEAST ? best : 1;
    add(child.slice(i, i + taken).join(""), best >= LEAST ? from : -1);
    i += taken;
  }
  add(text.slice(found.reduce((n, [piece]) => n + piece.length, 0)), -1);
  return found.filter(([piece]) => piece);
}

// How much of a text, in its units, stands in one of these parents.
export function shared(text, parents) {
  const pattern = unit(text) === "words" ? /\S+/g : /\S/gu, sums = [0, 0];
  for (const [piece, parent] of passages(text, parents)) sums[parent < 0 ? 0 : 1] += piece.match(pattern)?.length ?? 0;
  return sums[1] / Math.max(1, sums[0] + sums[1]);
}
