// Builds ../static from src: one script, one style sheet, the sheet of mathematics, and the licences of what is inside.
// The same source and lock file give the same bytes. `node build.mjs FOLDER` writes elsewhere.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const out = process.argv[2] ?? "../static";

// KaTeX's sheet with the one kind of font that every browser reads.
const fonts = {
  name: "woff2 only",
  setup: (builder) => builder.onLoad({ filter: /katex\.css$/ }, async ({ path }) => ({
    contents: (await readFile(path, "utf8")).replace(/,\s*url\([^)]*\.(woff|ttf)\)\s*format\([^)]*\)/g, ""), loader: "css",
  })),
};
const common = { bundle: true, minify: true, charset: "utf8", legalComments: "none", target: ["es2023"], metafile: true };

await mkdir(out, { recursive: true });
const script = await build({ ...common, entryPoints: ["src/main.js"], format: "esm", outfile: join(out, "main.js") });
await build({ ...common, entryPoints: ["src/style.css"], outfile: join(out, "style.css") });
await build({ ...common, entryPoints: ["src/math.css"], outfile: join(out, "math.css"), loader: { ".woff2": "dataurl" }, plugins: [fonts] });
await copyFile("src/index.html", join(out, "index.html"));

const packages = new Set(Object.keys(script.metafile.inputs).flatMap((path) => /^node_modules\/((@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []));
const parts = await Promise.all([...packages].sort().map(async (name) => {
  const folder = join("node_modules", name), { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).sort().find((one) => /^licen[cs]e/i.test(one));
  return `${name} ${version} (${license})\n\n${file ? (await readFile(join(folder, file), "utf8")).trim() : "no file of its licence is distributed with it"}\n`;
}));
await writeFile(join(out, "LICENSES.txt"), parts.join(`\n${"-".repeat(80)}\n\n`));
