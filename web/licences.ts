/** Collects the licences of what ends up in the page, as their authors ask. */

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const names = /^(licen[cs]e|notice)/i;

/** Whose packages come without the text of the licence that they name. */
const APACHE = /\bApache-2\.0\b/;

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly repository?: string | { readonly url?: string };
  readonly dependencies?: Record<string, string>;
}

/** The packages of `dependencies` and what they need in turn. */
function closure(root: string): string[] {
  const found = new Set<string>();
  const visit = (manifest: Pick<Manifest, "dependencies">): void => {
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      const path = join(root, "node_modules", name, "package.json");
      if (found.has(name) || !existsSync(path)) continue;
      found.add(name);
      visit(JSON.parse(readFileSync(path, "utf8")) as Manifest);
    }
  };
  visit(JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest);
  return [...found].sort();
}

/** Writes `licences.txt` beside the page. */
export function licences(root: string): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const texts = closure(root).map((name) => {
        const folder = join(root, "node_modules", name);
        const { version, license, repository } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
        const files = readdirSync(folder)
          .filter((file) => names.test(file))
          .map((file) => join(folder, file));
        if (files.length === 0 && APACHE.test(license)) files.push(join(root, "..", "LICENSE"));
        // MPL-2.0, 3.2: whoever gets the page is told where the source is.
        const source = (typeof repository === "string" ? repository : repository?.url)?.replace(/^git\+/, "");
        return [`${name} ${version} (${license})${source ? `\n${source}` : ""}`, ...files.map((file) => readFileSync(file, "utf8").trim())].join("\n\n");
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: `${texts.join(`\n\n${"-".repeat(72)}\n\n`)}\n` });
    },
  };
}
