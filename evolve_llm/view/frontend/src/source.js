// Where the pages get their data: the server, or what the one-file report carries.

let carried = null;

async function unpacked(element) {
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

export async function get(question, parameters = {}) {
  const asked = question + "?" + new URLSearchParams(parameters);
  const element = document.getElementById("data");
  if (element) {
    carried ??= await unpacked(element);
    if (!(asked in carried)) throw new Error("This report does not hold this part; the run directory does.");
    if (carried[asked].error) throw new Error(carried[asked].error);
    return carried[asked];
  }
  const response = await fetch("api/" + asked);
  const found = await response.json();
  if (!response.ok) throw new Error(found.error);
  return found;
}

// Whether this is the one file that outlives the run.
export const isReport = () => document.getElementById("data") !== null;

// Calls back with what the stream tells whenever the run has come further; returns the way to stop.
export function follow(run, onChange) {
  if (isReport()) return () => {};
  const stream = new EventSource("api/events?" + new URLSearchParams({ run }));
  let first = true;
  stream.onmessage = (event) => { onChange(JSON.parse(event.data), first); first = false; };
  return () => stream.close();
}
