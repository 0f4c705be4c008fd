/** Looks of the desktop. */

import { css } from "lit";

export const desktopViewStyles = css`
  :host {
    display: grid;
    grid-template-rows: auto minmax(0, 1fr) auto;
    background: var(--sunken);
    min-width: 0;
    min-height: 0;
    overflow: hidden;
  }
  .frame {
    position: relative;
    min-width: 0;
    min-height: 0;
  }
  .room {
    position: absolute;
    inset: 0;
    overflow: auto;
    display: grid;
    scrollbar-width: thin;
    overscroll-behavior: contain;
  }
  .room.whole {
    overflow: hidden;
  }
  .sheet {
    position: relative;
    margin: auto;
    touch-action: none;
    user-select: none;
    -webkit-user-select: none;
    outline: none;
  }
  .frame.focused::after {
    content: "";
    position: absolute;
    inset: 0;
    z-index: 2;
    pointer-events: none;
    box-shadow: inset 0 0 0 1px var(--accent);
  }
  .sheet > canvas {
    display: block;
    width: 100%;
    height: 100%;
  }
  canvas.crisp {
    image-rendering: pixelated;
  }
  /* Other clients draw here, and get nothing else: mouse, fingers and keys are ours. */
  .place,
  .place .target,
  .place .client {
    position: absolute;
    inset: 0;
    overflow: hidden;
    pointer-events: none;
  }
  .place canvas {
    display: block;
    image-rendering: inherit;
  }
  .place.crisp {
    image-rendering: pixelated;
  }
  .place .kept,
  .place.vnc canvas,
  .place.rdp canvas {
    position: absolute;
    inset: 0;
    /* noVNC sets a size of its own on the element. */
    width: 100% !important;
    height: 100% !important;
  }
  textarea {
    position: absolute;
    left: 0;
    top: 0;
    width: 1px;
    height: 1px;
    padding: 0;
    border: 0;
    opacity: 0;
    resize: none;
    outline: none;
    overflow: hidden;
    /* Below 16 px, iOS zooms the page when a field gets the focus. */
    font-size: 16px;
    pointer-events: none;
  }
  .pointer {
    position: absolute;
    z-index: 3;
    pointer-events: none;
    color: var(--pointer-colour);
  }
  .pointer svg {
    display: block;
    width: 18px;
    height: 18px;
    filter: drop-shadow(0 1px 1px #0008);
  }
  .pointer span {
    position: absolute;
    left: 14px;
    top: 16px;
    padding: 1px 7px;
    border-radius: 99px;
    background: var(--pointer-colour);
    color: #fff;
    font-size: 11.5px;
    font-weight: 550;
    white-space: nowrap;
  }
  .said {
    position: absolute;
    z-index: 3;
    left: 50%;
    translate: -50%;
    display: flex;
    align-items: center;
    gap: 12px;
    width: max-content;
    max-width: min(520px, calc(100% - 24px));
    padding: 8px 14px;
    border: 1px solid var(--line-strong);
    border-radius: 10px;
    background: var(--raised);
    color: var(--text);
    box-shadow: var(--shadow);
    font-size: 13.5px;
  }
  .said.over {
    top: 12px;
  }
  .said.alone {
    top: 50%;
    translate: -50% -50%;
  }
  .said.bad .text {
    color: var(--bad);
  }
  .said .detail {
    color: var(--text-2);
    font-size: 12.5px;
    overflow-wrap: anywhere;
  }
  .empty {
    visibility: hidden;
  }
  @media (prefers-reduced-motion: no-preference) {
    .said {
      animation: late 160ms 300ms backwards;
    }
  }
  @keyframes late {
    from {
      opacity: 0;
    }
  }
`;
