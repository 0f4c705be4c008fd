/** Looks of a machine's card. */

import { css } from "lit";

export const runnerCardStyles = css`
  :host {
    display: block;
  }
  section {
    border: 1px solid var(--line);
    border-radius: var(--radius-large);
    background: var(--surface);
    padding: 16px 18px;
  }
  .head {
    display: flex;
    align-items: center;
    gap: 10px;
    flex-wrap: wrap;
  }
  h2 {
    font-size: 15px;
    font-weight: 620;
  }
  .state {
    display: inline-flex;
    align-items: center;
    gap: 6px;
    font-size: 12.5px;
    color: var(--ok);
  }
  .state::before {
    content: "";
    width: 7px;
    height: 7px;
    border-radius: 50%;
    background: currentColor;
  }
  .state.away {
    color: var(--warn);
  }
  .state.away::before {
    background: none;
    border: 1.5px solid currentColor;
  }
  .working {
    margin-left: auto;
    font-size: 12.5px;
    color: var(--text-2);
  }
  .menu {
    display: flex;
    margin-left: auto;
  }
  .working + .menu {
    margin-left: 0;
  }
  .facts {
    margin: 4px 0 12px;
    font-size: 12.5px;
    color: var(--text-3);
    display: flex;
    flex-wrap: wrap;
    gap: 2px 14px;
  }
  ul {
    list-style: none;
    padding: 0;
    margin: 0;
    border-top: 1px solid var(--line);
  }
  li {
    display: grid;
    grid-template-columns: auto 130px minmax(0, 1fr);
    align-items: center;
    gap: 12px;
    padding: 8px 0;
    border-bottom: 1px solid var(--line);
    font-size: 13px;
  }
  li:last-child {
    border-bottom: 0;
    padding-bottom: 0;
  }
  li.missing es-agent-badge {
    filter: grayscale(1);
    opacity: 0.65;
  }
  li.missing .name {
    color: var(--text-3);
  }
  .path,
  .why {
    color: var(--text-3);
    overflow-wrap: anywhere;
  }
  .why {
    color: var(--text-2);
  }
  .facts + .facts {
    margin-top: -8px;
  }
  .state.revoked {
    color: var(--bad);
  }
  .facts > span {
    display: inline-flex;
    align-items: center;
    gap: 5px;
    min-width: 0;
    overflow-wrap: anywhere;
  }
  .facts svg.icon {
    width: 13px;
    height: 13px;
  }
  .notice {
    display: flex;
    gap: 8px;
    align-items: flex-start;
    font-size: 13px;
    color: var(--bad);
    background: var(--bad-soft);
    border-radius: 8px;
    padding: 8px 12px;
    overflow-wrap: anywhere;
  }
  .secrets {
    margin-bottom: 12px;
  }
  input.rename {
    width: 220px !important;
    padding: 2px 8px !important;
    font-weight: 600 !important;
  }
  @media (max-width: 760px) {
    li {
      grid-template-columns: auto minmax(0, 1fr);
      row-gap: 2px;
    }
    .path,
    .why {
      grid-column: 2;
    }
    li es-agent-badge {
      grid-row: span 2;
      align-self: start;
    }
    .working {
      margin-left: 0;
      flex-basis: 100%;
      order: 1;
    }
    .working + .menu {
      margin-left: auto;
    }
  }
`;
