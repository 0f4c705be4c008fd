/** Looks of the start dialog. */

import { css } from "lit";

export const startDialogStyles = css`
  dialog {
    width: 640px;
  }
  .body {
    display: grid;
    gap: 16px;
  }
  .field {
    display: grid;
    gap: 5px;
    align-content: start;
    min-width: 0;
  }
  .pair {
    display: grid;
    grid-template-columns: 1fr 1fr;
    gap: 12px;
  }
  .pair.where {
    grid-template-columns: 180px minmax(0, 1fr);
  }
  textarea {
    resize: vertical;
    min-height: 74px;
    max-height: 40vh;
  }
  .select {
    position: relative;
  }
  .select .icon {
    position: absolute;
    left: 10px;
    top: 50%;
    translate: 0 -50%;
    color: var(--text-3);
    pointer-events: none;
  }
  select.plain {
    flex: none;
    width: 136px;
    margin-left: auto;
    padding-left: 10px !important;
  }
  input[type="checkbox"]:disabled {
    opacity: 0.5;
    cursor: default;
  }
  select {
    height: 36px;
    padding-left: 32px !important;
  }
  .switch {
    display: flex;
    align-items: flex-start;
    gap: 10px;
  }
  .switch label {
    display: grid;
    gap: 1px;
    cursor: pointer;
  }
  .switch .name {
    font-weight: 500;
    font-size: 13.5px;
    color: var(--text);
  }
  .switch .hint {
    font-weight: 400;
  }
  input[type="checkbox"] {
    appearance: none;
    flex: none;
    width: 34px;
    height: 20px;
    margin: 1px 0 0;
    border-radius: 99px;
    background: var(--line-strong);
    position: relative;
    cursor: pointer;
    transition: background var(--quick);
  }
  input[type="checkbox"]::after {
    content: "";
    position: absolute;
    inset: 3px auto 3px 3px;
    width: 14px;
    border-radius: 50%;
    background: var(--surface);
    transition: translate var(--quick);
  }
  input[type="checkbox"]:checked {
    background: var(--accent);
  }
  input[type="checkbox"]:checked::after {
    translate: 14px 0;
  }
  summary {
    font-size: 13px;
    color: var(--text-3);
    cursor: pointer;
    width: fit-content;
  }
  details[open] summary {
    margin-bottom: 10px;
  }
  .hint.warn {
    color: var(--warn);
  }
  .none {
    padding: 28px 0;
    text-align: center;
    color: var(--text-2);
  }
  footer .problem,
  footer .keys {
    flex: 1;
    min-width: 0;
  }
  @media (max-width: 760px) {
    .pair,
    .pair.where {
      grid-template-columns: 1fr;
    }
    dialog {
      width: 100%;
    }
    .keys kbd {
      display: none;
    }
  }
`;
