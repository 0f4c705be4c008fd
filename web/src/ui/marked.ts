/** Text from the server, with what stands in backticks shown as code. Everything else stays text. */

import { type TemplateResult, html } from "lit";

export function marked(text: string): (TemplateResult | string)[] {
  return text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? html`<code class="said">${part}</code>` : part));
}
