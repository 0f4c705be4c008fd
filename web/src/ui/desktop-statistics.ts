/** Why it feels slow: figures of the last second, over the desktop. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { DesktopViewer } from "../desktop/viewer";
import { Ticks } from "../store/controller";
import { base } from "./styles/shared";

const milliseconds = (value: number | null | undefined): string => (value == null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

@customElement("es-desktop-statistics")
export class DesktopStatistics extends LitElement {
  @property({ attribute: false }) viewer: DesktopViewer | null = null;

  constructor() {
    super();
    new Ticks(this, 500);
  }

  static override styles = [
    base,
    css`
      :host {
        position: absolute;
        left: 10px;
        top: 10px;
        z-index: 4;
        padding: 8px 12px;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: color-mix(in srgb, var(--raised) 92%, transparent);
        color: var(--text-2);
        font-size: 12px;
        pointer-events: none;
      }
      dl {
        display: grid;
        grid-template-columns: auto auto;
        gap: 2px 14px;
        margin: 0;
      }
      dd {
        margin: 0;
        text-align: right;
        color: var(--text);
      }
    `,
  ];

  override render() {
    const { viewer } = this;
    if (!viewer) return html``;
    const figures = viewer.statistics.figures(performance.now());
    const { server } = figures;
    const rows: [string, string][] = [
      ["Picture", viewer.pictures === "h264" ? `${viewer.canvas.width} × ${viewer.canvas.height}` : `${viewer.canvas.width} × ${viewer.canvas.height}, stills`],
      ["Drawn", `${figures.framesPerSecond}/s`],
      ["Received", `${figures.kilobytesPerSecond.toFixed(1)} kB/s`],
      ["Capture", milliseconds(server?.captureMs)],
      ["Encode", milliseconds(server?.encodeMs)],
      ["Network, there and back", milliseconds(figures.networkMs)],
      ["Decode and draw", milliseconds(figures.decodeMs)],
      ["Age when drawn", milliseconds(figures.ageMs)],
      ["Skipped for you", `${server?.skipped ?? 0}`],
      ["Encoder", server?.encoder || viewer.desktop?.codec || "–"],
    ];
    if (viewer.hears) rows.push(["Sound", `${viewer.audio.played} packets, ${viewer.audio.dropped} dropped`]);
    return html`<dl aria-label="Statistics">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-statistics": DesktopStatistics;
  }
}
