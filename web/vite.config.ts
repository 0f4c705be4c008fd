import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

import { licences } from "./licences.ts";
import { preloadStart } from "./preload-start.ts";
import { wasmFile } from "./wasm-file.ts";

const root = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
  base: "/",
  plugins: [licences(root), preloadStart(), wasmFile(root)],
  build: {
    outDir: "../src/earthshine/control/ui/dist",
    emptyOutDir: true,
    target: "es2022",
    // The server's content security policy allows neither inline scripts nor data: fonts.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      output: {
        // What runs before the page itself comes in one piece.
        codeSplitting: {
          groups: [{ name: "first", test: /src\/(main|ahead|address-codes|router|store\/preferences|desktop\/(early|early-picture|endpoint|messages|annexb|video))\.ts$|vite\/preload-helper/ }],
        },
      },
    },
  },
  server: {
    proxy: {
      "/api": { target: "http://127.0.0.1:7180", ws: true },
    },
  },
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.ts"],
    // fast-check builds its tables of characters first: seconds on a machine with much else to do.
    testTimeout: 20_000,
  },
});
