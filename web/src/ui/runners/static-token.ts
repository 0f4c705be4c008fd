/** The other way to connect a machine: a token file that all machines share. */

import { LitElement, css, html, nothing } from "lit";
import { customElement } from "lit/decorators.js";

import "../copy-line";
import { base } from "../styles/shared";

@customElement("es-static-token")
export class StaticToken extends LitElement {
  static override styles = [
    base,
    css`
      details {
        padding: 4px 2px 0;
        font-size: 13px;
        color: var(--text-2);
      }
      summary {
        cursor: pointer;
        color: var(--text-3);
      }
      p {
        margin: 10px 0;
      }
    `,
  ];

  override render() {
    const command = `earthshine runner --url ${location.origin} --token-file runner-token`;
    const loopback = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
    return html`<details>
      <summary>Machines that are set up by scripts: the token file</summary>
      <p>
        Copy the file <span class="mono">runner-token</span> from the server's state folder and run this there. Every machine that has the
        file can connect, all members can use it, and one machine cannot be revoked alone: where a person is at hand, pairing is better.
      </p>
      ${loopback
        ? html`<p>You reached this server at a loopback address, which other machines cannot reach: put the server's own address in its place.</p>`
        : nothing}
      <es-copy-line .text=${command} label="Copy the command"></es-copy-line>
    </details>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-static-token": StaticToken;
  }
}
