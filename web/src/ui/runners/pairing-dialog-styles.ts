/** Looks of the dialog that adds a machine. */

import { css } from "lit";

export const pairingDialogStyles = css`
  dialog {
    width: 560px;
  }
  .body {
    display: grid;
    grid-template-columns: minmax(0, 1fr);
    gap: 12px;
  }
  p {
    color: var(--text-2);
  }
  p strong {
    color: var(--text);
  }
  .label {
    font-size: 12.5px;
    font-weight: 550;
    color: var(--text-3);
    margin-bottom: -6px;
  }
  .hint {
    font-size: 12.5px;
    color: var(--text-3);
  }
  .code-row {
    display: flex;
    align-items: center;
    gap: 18px;
    flex-wrap: wrap;
  }
  .code-row > div {
    flex: 1 1 240px;
    display: grid;
    gap: 8px;
  }
  .code {
    font: 650 27px/1.25 var(--mono);
    letter-spacing: 0.04em;
    word-spacing: 0.1em;
    color: var(--text);
  }
  .qr {
    background: #fff;
    padding: 8px;
    border-radius: 8px;
    border: 1px solid var(--line);
  }
  .fingerprint {
    font: 600 19px/1.5 var(--mono);
    padding: 10px 14px;
    border-radius: 8px;
    border: 1px solid var(--line);
    background: var(--sunken);
    color: var(--text);
    overflow-wrap: break-word;
  }
  .fingerprint.small {
    font-size: 13px;
    padding: 8px 12px;
  }
  dl {
    display: grid;
    grid-template-columns: auto minmax(0, 1fr);
    gap: 5px 18px;
    margin: 0;
  }
  dt {
    color: var(--text-3);
    font-size: 13px;
  }
  dd {
    margin: 0;
    overflow-wrap: anywhere;
  }
  .waiting {
    display: flex;
    align-items: center;
    gap: 10px;
    color: var(--text-2);
  }
  .left {
    margin-left: auto;
    color: var(--text-3);
    font-size: 13px;
  }
  .pulse {
    width: 8px;
    height: 8px;
    border-radius: 50%;
    background: var(--accent);
    animation: pulse 1.4s ease-in-out infinite;
    flex: none;
  }
  @keyframes pulse {
    50% {
      opacity: 0.25;
    }
  }
  .done {
    display: flex;
    gap: 12px;
    align-items: flex-start;
    color: var(--ok);
  }
  .done strong {
    color: var(--text);
  }
  .share {
    display: flex;
    gap: 10px;
    align-items: flex-start;
    cursor: pointer;
  }
  .share .hint {
    display: block;
  }
  .share input {
    width: 18px;
    height: 18px;
    margin: 1px 0 0;
    flex: none;
    accent-color: var(--accent);
  }
`;
