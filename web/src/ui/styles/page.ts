/** Looks of the pages made of sections and rows: account, people, runners, audit, settings. */

import { css } from "lit";

export const pages = css`
  :host {
    display: grid;
    grid-template-rows: auto minmax(0, 1fr);
  }
  header {
    display: flex;
    align-items: center;
    gap: 12px;
    min-height: 52px;
    padding: 8px 20px;
    border-bottom: 1px solid var(--line);
  }
  header h1 {
    flex: 1;
  }
  .scroll {
    overflow: auto;
    overscroll-behavior: contain;
    padding: 8px 20px 32px;
  }
  .list {
    max-width: 760px;
  }
  @media (max-width: 760px) {
    header {
      padding: 8px 14px;
    }
    .scroll {
      padding: 0 14px 24px;
    }
  }
`;

export const rows = css`
  h2 {
    font-size: 13px;
    font-weight: 600;
    color: var(--text-2);
    margin: 24px 0 6px;
    display: flex;
    align-items: center;
    gap: 10px;
    min-height: 32px;
  }
  h2 > button {
    margin-left: auto;
  }
  .hint {
    font-size: 12.5px;
    color: var(--text-3);
  }
  .row {
    display: flex;
    align-items: center;
    gap: 16px;
    padding: 12px 0;
    border-top: 1px solid var(--line);
  }
  .row > :first-child {
    flex: 1;
    min-width: 0;
  }
  .row .name {
    font-weight: 550;
    font-size: 14px;
    color: var(--text);
    overflow-wrap: anywhere;
  }
  .row .hint {
    overflow-wrap: anywhere;
  }
  .tag {
    display: inline-block;
    font-size: 12px;
    font-weight: 550;
    line-height: 18px;
    padding: 0 7px;
    margin-left: 6px;
    border-radius: 99px;
    color: var(--text-2);
    background: var(--hover);
    white-space: nowrap;
  }
  .tag.good {
    color: var(--ok);
    background: var(--ok-soft);
  }
  .tag.bad {
    color: var(--bad);
    background: var(--bad-soft);
  }
  .tag.warn {
    color: var(--warn);
    background: var(--warn-soft);
  }
  form.card,
  .card {
    display: grid;
    gap: 12px;
    padding: 16px;
    margin: 4px 0 14px;
    border: 1px solid var(--line);
    border-radius: var(--radius);
    background: var(--surface);
  }
  .field {
    display: grid;
    gap: 5px;
  }
  .fields {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(200px, 1fr));
    gap: 12px;
  }
  .actions {
    display: flex;
    align-items: center;
    gap: 8px;
    flex-wrap: wrap;
  }
  .end {
    justify-content: flex-end;
  }
  .failed {
    display: flex;
    align-items: center;
    gap: 12px;
    padding: 12px 0;
    border-top: 1px solid var(--line);
  }
  .failed > :first-child {
    flex: 1;
  }
  .waiting {
    padding: 12px 0;
    border-top: 1px solid var(--line);
  }
  es-shown-once {
    margin: 4px 0 14px;
  }
  es-problem {
    margin: 4px 0;
  }
  .check {
    display: flex;
    align-items: flex-start;
    gap: 10px;
    font-weight: 450;
    font-size: 13.5px;
    color: var(--text);
    cursor: pointer;
  }
  .check .hint {
    display: block;
    font-weight: 400;
  }
  input[type="checkbox"] {
    width: 18px;
    height: 18px;
    flex: none;
    margin: 0;
    accent-color: var(--accent);
  }
  @media (max-width: 760px) {
    .row {
      flex-wrap: wrap;
      gap: 10px;
    }
    .row > :first-child:not(:only-child) {
      flex-basis: 60%;
    }
  }
`;
