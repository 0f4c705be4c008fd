/** Looks that several components share, for their shadow roots. */

import { css } from "lit";

export const base = css`
  :host {
    font-variant-numeric: tabular-nums;
  }
  :host([hidden]),
  [hidden] {
    display: none !important;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h1,
  h2,
  h3,
  p {
    margin: 0;
  }
  h1 {
    font-size: 17px;
    font-weight: 620;
    letter-spacing: -0.01em;
  }
  a {
    color: var(--accent);
  }
  svg.icon {
    width: 16px;
    height: 16px;
    flex: none;
    display: block;
    fill: none;
    stroke: currentColor;
    stroke-width: 1.6;
    stroke-linecap: round;
    stroke-linejoin: round;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  .mono {
    font-family: var(--mono);
    font-size: 0.92em;
    font-feature-settings: "calt" 0;
  }
  code.said {
    font: 0.92em var(--mono);
    padding: 1px 4px;
    border-radius: 4px;
    background: var(--hover);
    overflow-wrap: anywhere;
  }
  .ellipsis {
    min-width: 0;
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }
  .sr-only {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  kbd {
    font: 500 11px/1 var(--font);
    padding: 3px 5px;
    min-width: 18px;
    display: inline-block;
    text-align: center;
    border-radius: 4px;
    border: 1px solid var(--line);
    background: var(--hover);
    color: var(--text-2);
  }
  @media (prefers-reduced-motion: reduce) {
    *,
    *::before,
    *::after {
      animation: none !important;
      transition: none !important;
    }
  }
`;

export const buttons = css`
  button,
  .button {
    font: 500 13px/1 var(--font);
    color: var(--text);
    background: transparent;
    border: 1px solid transparent;
    border-radius: 7px;
    height: 32px;
    padding: 0 12px;
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 7px;
    cursor: pointer;
    white-space: nowrap;
    text-decoration: none;
    user-select: none;
    touch-action: manipulation;
    transition:
      background var(--quick),
      border-color var(--quick),
      color var(--quick);
  }
  button:hover:not(:disabled),
  .button:hover {
    background: var(--hover);
  }
  button:disabled {
    opacity: 0.45;
    cursor: default;
  }
  button.outlined,
  .button.outlined {
    border-color: var(--line);
    background: var(--surface);
  }
  button.outlined:hover:not(:disabled),
  .button.outlined:hover {
    border-color: var(--line-strong);
  }
  button.primary,
  .button.primary {
    background: var(--accent-fill);
    color: var(--on-accent);
    font-weight: 600;
  }
  button.primary:hover:not(:disabled) {
    background: color-mix(in srgb, var(--accent-fill) 88%, var(--text));
  }
  button.danger {
    color: var(--bad);
  }
  button.danger:hover:not(:disabled) {
    background: var(--bad-soft);
  }
  button.danger.filled {
    background: var(--bad);
    color: var(--bg);
    font-weight: 600;
  }
  button.square {
    width: 32px;
    padding: 0;
    color: var(--text-2);
  }
  button.square:hover:not(:disabled) {
    color: var(--text);
  }
  button[aria-pressed="true"] {
    background: var(--accent-soft);
    color: var(--accent);
  }
  @media (pointer: coarse) {
    button,
    .button {
      height: 40px;
    }
    button.square {
      width: 40px;
    }
  }
`;

export const fields = css`
  label {
    font-size: 12.5px;
    font-weight: 550;
    color: var(--text-2);
  }
  input:not([type="checkbox"]):not([type="radio"]),
  textarea,
  select {
    font: 14px/1.4 var(--font);
    color: var(--text);
    background: var(--sunken);
    border: 1px solid var(--line);
    border-radius: 7px;
    padding: 7px 10px;
    width: 100%;
    min-width: 0;
    transition: border-color var(--quick);
  }
  input.mono:not([type="checkbox"]):not([type="radio"]),
  textarea.mono {
    font-family: var(--mono);
    font-size: 13px;
    font-feature-settings: "calt" 0;
  }
  input:hover,
  textarea:hover,
  select:hover {
    border-color: var(--line-strong);
  }
  input:focus,
  textarea:focus,
  select:focus {
    outline: none;
    border-color: var(--accent);
    box-shadow: 0 0 0 3px var(--accent-soft);
  }
  ::placeholder {
    color: var(--text-3);
    opacity: 1;
  }
  .hint {
    font-size: 12.5px;
    color: var(--text-3);
  }
  .problem {
    font-size: 13px;
    color: var(--bad);
  }
  /* Below 16 px, iOS zooms the page when a field gets the focus. */
  @media (pointer: coarse) {
    input:not([type="checkbox"]):not([type="radio"]),
    input.mono:not([type="checkbox"]):not([type="radio"]),
    textarea,
    textarea.mono,
    select {
      font-size: 16px;
    }
  }
`;

export const dialogs = css`
  dialog {
    border: 1px solid var(--line);
    border-radius: var(--radius-large);
    background: var(--surface);
    color: var(--text);
    padding: 0;
    box-shadow: var(--shadow);
    max-width: calc(100vw - 24px);
    max-height: min(86dvh, calc(var(--viewport-height, 100dvh) - 24px));
    overflow: hidden;
  }
  dialog[open] {
    display: flex;
    flex-direction: column;
    animation: rise 140ms ease-out;
  }
  dialog::backdrop {
    background: var(--scrim);
  }
  dialog > header,
  dialog > form > header {
    display: flex;
    align-items: center;
    gap: 10px;
    padding: 14px 14px 10px 20px;
  }
  dialog > header h2,
  dialog > form > header h2 {
    font-size: 16px;
    font-weight: 620;
    margin: 0;
    min-height: 0;
    color: var(--text);
    flex: 1;
    letter-spacing: -0.01em;
  }
  dialog .body {
    padding: 4px 20px 18px;
    overflow: auto;
    overscroll-behavior: contain;
  }
  dialog footer {
    display: flex;
    align-items: center;
    justify-content: flex-end;
    gap: 8px;
    padding: 12px 20px;
    border-top: 1px solid var(--line);
  }
  @keyframes rise {
    from {
      opacity: 0;
      transform: translateY(6px) scale(0.99);
    }
  }
`;
