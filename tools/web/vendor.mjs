// Writes taskyard/web/static/vendor/ anew from what package-lock.json pins: `make vendor`.
import { createHash } from "node:crypto";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const here = new URL("./", import.meta.url);
const target = new URL("../../taskyard/web/static/vendor/", here);
const lock = JSON.parse(await readFile(new URL("package-lock.json", here), "utf8"));

/** What the lock says of a package. @param {string} name */
const pinned = (name) => {
  const { version, integrity, license } = lock.packages[`node_modules/${name}`];
  return { name, version, integrity, license };
};

const banner = (names) =>
  `/*! ${names.map((name) => `${name} ${pinned(name).version}`).join(", ")} (${[...new Set(names.map((name) => pinned(name).license))].join(", ")}); made by make vendor */`;

async function bundle(entry, out, names) {
  await build({
    absWorkingDir: here.pathname,
    entryPoints: [entry],
    outfile: new URL(out, target).pathname,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    banner: { js: banner(names) },
  });
}

const PREACT = ["preact", "@preact/signals", "@preact/signals-core", "htm"];
await bundle("vendor.js", "preact.js", PREACT);
await bundle("node_modules/uplot/dist/uPlot.esm.js", "uplot.js", ["uplot"]);
await copyFile(new URL("node_modules/uplot/dist/uPlot.min.css", here), new URL("uplot.css", target));
await copyFile(new URL("node_modules/uplot/dist/uPlot.d.ts", here), new URL("uplot.d.ts", target));
await writeFile(
  new URL("preact.d.ts", target),
  `// The types stand in the packages themselves; tools/web/tsconfig.json finds them there.
export * from "@preact/signals";
export { Component, createContext, createRef, Fragment, h, render, toChildArray } from "preact";
export type { ComponentChildren, FunctionComponent, JSX, VNode } from "preact";
export type RefObject<T> = { current: T | null };
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "preact/hooks";
import type { VNode } from "preact";
export declare const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
`,
);
for (const name of [...PREACT, "uplot"]) {
  const file = `${name.replace("@", "").replace("/", "-")}.LICENSE`;
  await copyFile(new URL(`node_modules/${name}/LICENSE`, here), new URL(file, target));
}

const made = { "preact.js": PREACT, "preact.d.ts": PREACT, "uplot.js": ["uplot"], "uplot.css": ["uplot"], "uplot.d.ts": ["uplot"] };
const files = {};
for (const [file, names] of Object.entries(made)) {
  const bytes = await readFile(new URL(file, target));
  files[file] = { sha256: createHash("sha256").update(bytes).digest("hex"), from: names };
}
const packages = [...PREACT, "uplot"].map(pinned);
await writeFile(new URL("vendor.json", target), `${JSON.stringify({ packages, files }, null, 2)}\n`);
