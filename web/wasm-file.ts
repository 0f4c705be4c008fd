/**
 * IronRDP comes with its WebAssembly inside the script, as a data: address. The page's content
 * security policy lets it fetch from its own server only, and a file of its own is smaller and kept
 * compiled by browsers; so it becomes one. Its WebSocket is replaced by one that remembers how it was
 * closed.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const inside = /"data:application\/wasm;base64,([A-Za-z0-9+/=]+)"/;

const SOCKET = "new WebSocket(";

export function wasmFile(root: string): Plugin {
  return {
    name: "wasm-file",
    transform(code, id) {
      if (!id.includes("iron-remote-desktop-rdp")) return null;
      const found = inside.exec(code);
      if (!found?.[1] || code.split(SOCKET).length !== 2) throw new Error("iron-remote-desktop-rdp is not as this build knows it");
      const folder = join(root, "node_modules", ".earthshine");
      mkdirSync(folder, { recursive: true });
      const file = join(folder, "ironrdp.wasm");
      writeFileSync(file, Buffer.from(found[1], "base64"));
      const imports = [
        `import wasmFileUrl from ${JSON.stringify(`${file}?url`)};`,
        `import { NotedSocket } from ${JSON.stringify(join(root, "src/desktop/lines/noted-socket.ts"))};`,
      ];
      return { code: [...imports, code.replace(found[0], "wasmFileUrl").replace(SOCKET, "new NotedSocket(")].join("\n"), map: null };
    },
  };
}
