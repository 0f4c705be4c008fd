/** Icons of the replay's keys; drawn like the others (icons.ts). */

import { type TemplateResult, html, svg } from "lit";

const paths = {
  play: svg`<path d="M5 3.2v9.6L12.6 8z" fill="currentColor"/>`,
  pause: svg`<path d="M5.4 3.4v9.2M10.6 3.4v9.2" stroke-width="2.4"/>`,
  back: svg`<path d="M7.6 4 3.6 8l4 4M12.4 4l-4 4 4 4"/>`,
  on: svg`<path d="m8.4 4 4 4-4 4M3.6 4l4 4-4 4"/>`,
  before: svg`<path d="M4 3.4v9.2M12 3.8 6.4 8l5.6 4.2z"/>`,
  next: svg`<path d="M12 3.4v9.2M4 3.8 9.6 8 4 12.2z"/>`,
} as const;

export function transportIcon(name: keyof typeof paths): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">${paths[name]}</svg>`;
}
