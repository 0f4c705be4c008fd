/**
 * IronRDP comes with its WebAssembly inside the script, as a data: address. The page's content
 * security policy lets it fetch from its own server only, and a file of its own is smaller and kept
 * compiled by browsers; so it becomes one.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const inside = /"data:application\/wasm;base64,([A-Za-z0-9+/=]+)"/;

export function wasmFile(root: string): Plugin {
  return {
    name: "wasm-file",
    transform(code, id) {
      if (!id.includes("iron-remote-desktop-rdp")) return null;
      const found = inside.exec(code);
      if (!found?.[1]) throw new Error("iron-remote-desktop-rdp: where is its WebAssembly?");
      const folder = join(root, "node_modules", ".earthshine");
      mkdirSync(folder, { recursive: true });
      const file = join(folder, "ironrdp.wasm");
      writeFileSync(file, Buffer.from(found[1], "base64"));
      return { code: `import wasmFileUrl from ${JSON.stringify(`${file}?url`)};\n${code.replace(found[0], "wasmFileUrl")}`, map: null };
    },
  };
}
