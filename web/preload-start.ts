/**
 * `main.ts` begins what is to be quick and then loads the page itself: the browser is told of that in
 * the document, so that a first visit fetches everything at once.
 */

import type { Plugin, Rollup } from "vite";

const START = "/src/start.ts";

export function preloadStart(): Plugin {
  return {
    name: "preload-start",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle }) {
        if (!bundle) return html;
        const chunks = Object.values(bundle).filter((part): part is Rollup.OutputChunk => part.type === "chunk");
        const start = chunks.find((chunk) => chunk.facadeModuleId?.endsWith(START));
        if (!start) throw new Error(`${START} is not as this build knows it`);
        const wanted = new Set([start.fileName]);
        for (const name of wanted) for (const other of chunks.find((chunk) => chunk.fileName === name)?.imports ?? []) wanted.add(other);
        return [...wanted]
          .filter((name) => !html.includes(name))
          .map((name) => ({ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/${name}` }, injectTo: "head" as const }));
      },
    },
  };
}
