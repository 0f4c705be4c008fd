/** Icons of the desktop's toolbar; drawn like the others (icons.ts). */

import { type TemplateResult, html, svg } from "lit";

const paths = {
  desktop: svg`<rect x="1.8" y="2.6" width="12.4" height="8.6" rx="1.6"/><path d="M5.6 13.6h4.8M8 11.4v2.2"/>`,
  split: svg`<rect x="1.8" y="2.8" width="12.4" height="10.4" rx="2"/><path d="M8 3v10"/>`,
  record: svg`<circle cx="8" cy="8" r="5.6"/><circle cx="8" cy="8" r="2.4" fill="currentColor"/>`,
  camera: svg`<path d="M1.8 5.6c0-.7.5-1.2 1.2-1.2h1.7l1-1.6h4.6l1 1.6H13c.7 0 1.2.5 1.2 1.2v6c0 .7-.5 1.2-1.2 1.2H3c-.7 0-1.2-.5-1.2-1.2z"/><circle cx="8" cy="8.4" r="2.4"/>`,
  sound: svg`<path d="M2.4 6.2h2.2L8 3.4v9.2L4.6 9.8H2.4zM10.4 5.8a3.2 3.2 0 0 1 0 4.4M12.4 3.8a6 6 0 0 1 0 8.4"/>`,
  silent: svg`<path d="M2.4 6.2h2.2L8 3.4v9.2L4.6 9.8H2.4zM11 6.4l3.2 3.2M14.2 6.4 11 9.6"/>`,
  clipboard: svg`<rect x="3.2" y="3.4" width="9.6" height="10.4" rx="1.6"/><path d="M6 3.2c0-.6.4-1 1-1h2c.6 0 1 .4 1 1v1.2H6zM5.8 8h4.4M5.8 10.6h3"/>`,
  gauge: svg`<path d="M2.2 12.2a6.2 6.2 0 1 1 11.6 0M8 10.4l2.8-3.6"/>`,
  ways: svg`<path d="M2.6 5.4h10M10 2.8l2.6 2.6L10 8M13.4 10.6h-10M6 8l-2.6 2.6L6 13.2"/>`,
  outside: svg`<path d="M9.4 2.6h4v4M13.2 2.8 7.6 8.4M6.6 3.4H3.8c-.7 0-1.2.5-1.2 1.2v7.6c0 .7.5 1.2 1.2 1.2h7.6c.7 0 1.2-.5 1.2-1.2V9.4"/>`,
  mouse: svg`<rect x="4.4" y="1.8" width="7.2" height="12.4" rx="3.6"/><path d="M8 4.4v2.2"/>`,
} as const;

export type DesktopIconName = keyof typeof paths;

export function desktopIcon(name: DesktopIconName): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">${paths[name]}</svg>`;
}
