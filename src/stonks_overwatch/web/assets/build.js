// Bundles the pages' styles and scripts into web/static/dist; `npm run build` runs it.
import { build } from "esbuild";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const finished = here("../static/dist");
const outdir = here("../../../../node_modules/.pages"); // a build that fails leaves the last good one in place

await rm(outdir, { recursive: true, force: true });

const common = {
  outdir,
  bundle: true,
  minify: true,
  target: ["es2022", "chrome120", "firefox121", "safari17.5"],
  legalComments: "none",
  logLevel: "warning",
  absWorkingDir: here("."),
};
await Promise.all([
  // Runs before the first paint, so it is a classic script and nothing else is in it.
  build({ ...common, entryPoints: ["theme.ts"], format: "iife" }),
  build({
    ...common,
    entryPoints: ["app.ts"],
    format: "esm",
    splitting: true,
    chunkNames: "[name]-[hash]",
  }),
  build({
    ...common,
    entryPoints: ["app.css"],
    loader: { ".woff2": "file", ".svg": "dataurl" },
    assetNames: "[name]-[hash]",
  }),
]);

// What is shipped carries the licences of what is in it.
const packages = ["@fontsource-variable/inter", "@tabler/core", "echarts", "htmx.org", "topojson-client", "tslib", "world-atlas", "zrender"];
const texts = [];
for (const name of packages) {
  const folder = here(`../../../../node_modules/${name}/`);
  const files = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile());
  for (const file of files.map((entry) => entry.name).filter((file) => /^(licen[sc]e|notice)/i.test(file)).sort()) {
    texts.push(`==== ${name}: ${file} ====\n\n${await readFile(folder + file, "utf8")}`);
  }
}
await writeFile(`${outdir}/LICENSES.txt`, texts.join("\n\n"));
await rm(finished, { recursive: true, force: true });
await rename(outdir, finished);
