/** Small line icons, and the mark: a crescent, and the rest of the moon in the light of the earth. */

import { svg, html, type TemplateResult } from "lit";

const paths = {
  plus: svg`<path d="M8 3v10M3 8h10"/>`,
  search: svg`<circle cx="7" cy="7" r="4.2"/><path d="m10.2 10.2 3.3 3.3"/>`,
  terminal: svg`<rect x="1.8" y="2.8" width="12.4" height="10.4" rx="2"/><path d="m4.6 6.2 2 1.8-2 1.8M8.6 10h2.8"/>`,
  server: svg`<rect x="2" y="2.5" width="12" height="4.6" rx="1.4"/><rect x="2" y="8.9" width="12" height="4.6" rx="1.4"/><path d="M4.6 4.8h.01M4.6 11.2h.01"/>`,
  settings: svg`<path d="M2 4.6h6.2M12 4.6h2M2 11.4h2M7.8 11.4H14"/><circle cx="10" cy="4.6" r="1.8"/><circle cx="6" cy="11.4" r="1.8"/>`,
  folder: svg`<path d="M1.8 4.2c0-.7.5-1.2 1.2-1.2h2.8l1.5 1.6h5.7c.7 0 1.2.5 1.2 1.2v6c0 .7-.5 1.2-1.2 1.2H3c-.7 0-1.2-.5-1.2-1.2z"/>`,
  branch: svg`<circle cx="4.6" cy="3.6" r="1.6"/><circle cx="4.6" cy="12.4" r="1.6"/><circle cx="11.4" cy="5.2" r="1.6"/><path d="M4.6 5.2v5.6M11.4 6.8c0 2.6-6.8 1.4-6.8 4"/>`,
  stop: svg`<rect x="3.8" y="3.8" width="8.4" height="8.4" rx="1.6"/>`,
  hand: svg`<path d="M5.6 3.4v9.2M10.4 3.4v9.2"/>`,
  globe: svg`<circle cx="8" cy="8" r="5.8"/><path d="M2.2 8h11.6M8 2.2c3.2 3.4 3.2 8.2 0 11.6-3.2-3.4-3.2-8.2 0-11.6"/>`,
  timeline: svg`<path d="M4 2.4v11.2"/><circle cx="4" cy="5" r="1.3" fill="var(--icon-fill, currentColor)"/><circle cx="4" cy="11" r="1.3" fill="var(--icon-fill, currentColor)"/><path d="M8 5h5.6M8 11h4"/>`,
  copy: svg`<rect x="5.4" y="5.4" width="8" height="8" rx="1.6"/><path d="M10.6 5.2V4.1c0-.8-.7-1.5-1.5-1.5h-5c-.8 0-1.5.7-1.5 1.5v5c0 .8.7 1.5 1.5 1.5h1.1"/>`,
  close: svg`<path d="m4 4 8 8M12 4l-8 8"/>`,
  check: svg`<path d="m3 8.6 3.2 3.2L13 4.8"/>`,
  up: svg`<path d="M8 13V3.4M4 7.2l4-4 4 4"/>`,
  down: svg`<path d="M8 3v9.6M4 8.8l4 4 4-4"/>`,
  "chevron-down": svg`<path d="m4 6.2 4 4 4-4"/>`,
  "chevron-right": svg`<path d="m6.2 4 4 4-4 4"/>`,
  back: svg`<path d="M9.8 3.4 5.2 8l4.6 4.6"/>`,
  more: svg`<path d="M3.4 8h.01M8 8h.01M12.6 8h.01" stroke-width="2.4"/>`,
  warning: svg`<path d="M8 2.4 14.4 13H1.6zM8 6.6v3M8 11.4h.01"/>`,
  link: svg`<path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.2-2.2A2.6 2.6 0 0 0 9 3.3l-.7.7M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l.7-.7"/>`,
  pencil: svg`<path d="m3 13 .6-2.8 7-7a1.5 1.5 0 0 1 2.2 2.2l-7 7z"/>`,
  person: svg`<circle cx="8" cy="5.4" r="2.6"/><path d="M2.8 13.6c.6-2.6 2.7-4 5.2-4s4.6 1.4 5.2 4"/>`,
  "sign-out": svg`<path d="M6 2.8H4c-.8 0-1.4.6-1.4 1.4v7.6c0 .8.6 1.4 1.4 1.4h2M10 11l3-3-3-3M13 8H6.4"/>`,
  key: svg`<circle cx="5.4" cy="10.6" r="2.8"/><path d="m7.5 8.5 5.7-5.7M10.6 5.4l2 2"/>`,
  people: svg`<circle cx="6" cy="5.6" r="2.3"/><path d="M1.6 13c.5-2.3 2.2-3.6 4.4-3.6s3.9 1.3 4.4 3.6M10.6 3.5a2.3 2.3 0 0 1 0 4.3M12 9.8c1.3.5 2.1 1.6 2.4 3.2"/>`,
  log: svg`<rect x="2.8" y="2" width="10.4" height="12" rx="1.8"/><path d="M5.6 5.4h4.8M5.6 8h4.8M5.6 10.6h2.8"/>`,
  share: svg`<circle cx="4" cy="8" r="1.8"/><circle cx="12" cy="3.8" r="1.8"/><circle cx="12" cy="12.2" r="1.8"/><path d="m5.6 7.2 4.8-2.6M5.6 8.8l4.8 2.6"/>`,
  eye: svg`<path d="M1.6 8S4 3.6 8 3.6 14.4 8 14.4 8 12 12.4 8 12.4 1.6 8 1.6 8z"/><circle cx="8" cy="8" r="1.9"/>`,
  device: svg`<rect x="2" y="3" width="12" height="8" rx="1.6"/><path d="M5.4 13.4h5.2"/>`,
  download: svg`<path d="M8 2.6v7.6M4.8 7.2 8 10.4l3.2-3.2M3 13.2h10"/>`,
  shield: svg`<path d="M8 2 13 4v4c0 3-2 5.1-5 6-3-.9-5-3-5-6V4z"/>`,
  trash: svg`<path d="M2.8 4.4h10.4M6.4 4.2V2.8h3.2v1.4M4.2 4.6l.6 8c0 .5.5.9 1 .9h4.4c.5 0 1-.4 1-.9l.6-8"/>`,
  expand: svg`<path d="M9.4 2.8h3.8v3.8M13 3 9.2 6.8M6.6 13.2H2.8V9.4M3 13l3.8-3.8"/>`,
  keyboard: svg`<rect x="1.6" y="4" width="12.8" height="8" rx="1.8"/><path d="M4.4 6.6h.01M7 6.6h.01M9.4 6.6h.01M11.8 6.6h.01M5.2 9.4h5.6"/>`,
  spark: svg`<path d="M8 2.2c.5 3.4 2.4 5.3 5.8 5.8-3.4.5-5.3 2.4-5.8 5.8-.5-3.4-2.4-5.3-5.8-5.8 3.4-.5 5.3-2.4 5.8-5.8z"/>`,
} as const;

export type IconName = keyof typeof paths;

export function icon(name: IconName): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">${paths[name]}</svg>`;
}

export function mark(pixels: number): TemplateResult {
  return html`<svg width=${pixels} height=${pixels} viewBox="0 0 24 24" aria-hidden="true">
    <g transform="rotate(-24 12 12)">
      <circle cx="12" cy="12" r="9.6" fill="var(--accent)" opacity="0.2" />
      <path d="M12 2a10 10 0 0 1 0 20a13.4 13.4 0 0 0 0-20z" fill="var(--moon)" />
    </g>
  </svg>`;
}
