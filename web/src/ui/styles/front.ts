/** Looks of the pages for people who are not signed in: one card in the middle. */

import { css } from "lit";

export const front = css`
  :host {
    display: grid;
    place-items: center;
    padding: 24px;
    overflow: auto;
    background: radial-gradient(90% 60% at 50% 0%, var(--accent-soft), transparent 70%);
  }
  .front {
    width: min(380px, 100%);
    display: grid;
    gap: 12px;
    justify-items: center;
    text-align: center;
    color: var(--text-2);
  }
  h1 {
    font-size: 22px;
    color: var(--text);
    letter-spacing: -0.02em;
    margin-top: 6px;
  }
  form {
    width: 100%;
    display: grid;
    gap: 10px;
    text-align: left;
    margin-top: 6px;
  }
  form.line {
    grid-template-columns: minmax(0, 1fr) auto;
    gap: 8px;
  }
  .field {
    display: grid;
    gap: 4px;
  }
  .front .wide {
    width: 100%;
    height: 38px;
  }
  button.primary {
    height: 38px;
  }
  .or {
    width: 100%;
    display: flex;
    align-items: center;
    gap: 12px;
    font-size: 12.5px;
    color: var(--text-3);
  }
  .or::before,
  .or::after {
    content: "";
    flex: 1;
    height: 1px;
    background: var(--line);
  }
  .ways {
    width: 100%;
    display: grid;
    gap: 8px;
  }
  code {
    font: 12.5px var(--mono);
    padding: 2px 6px;
    border-radius: 5px;
    background: var(--hover);
    color: var(--text);
  }
  details {
    width: 100%;
    font-size: 13px;
    text-align: left;
  }
  summary {
    cursor: pointer;
    text-align: center;
    padding: 6px;
    color: var(--text-3);
    border-radius: 6px;
  }
  summary:hover {
    color: var(--text-2);
  }
  details ul {
    margin: 6px 0 0;
    padding-left: 18px;
    display: grid;
    gap: 6px;
  }
  es-problem {
    width: 100%;
  }
`;
