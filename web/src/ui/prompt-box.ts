/** Where one writes to the agent: Enter sends, Shift-Enter makes a line, the arrows recall. */

import { LitElement, css, html } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { PromptHistory } from "./prompt-history";
import { icon } from "./icons";
import { base, buttons, fields } from "./styles/shared";

/** The API's limit, in characters. */
const MAX_PROMPT = 256 * 1024;

@customElement("es-prompt-box")
export class PromptBox extends LitElement {
  /** Sends; resolves when the server took it. */
  @property({ attribute: false }) send: (text: string) => Promise<void> = () => Promise.resolve();
  @property({ attribute: false }) history = new PromptHistory();
  @property() disabledWhy = "";
  @property() agent = "";
  /** Prompts on their way. */
  @state() private sending = 0;
  @state() private text = "";
  @query("textarea") private area!: HTMLTextAreaElement;

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: block;
        padding: 8px 12px calc(10px + env(safe-area-inset-bottom) * var(--keyboard-closed, 1));
        background: var(--bg);
        border-top: 1px solid var(--line);
      }
      form {
        display: flex;
        align-items: flex-end;
        gap: 8px;
        padding: 4px 4px 4px 12px;
        background: var(--surface);
        border: 1px solid var(--line);
        border-radius: 11px;
        transition: border-color var(--quick);
      }
      form:focus-within {
        border-color: var(--accent);
        box-shadow: 0 0 0 3px var(--accent-soft);
      }
      textarea,
      textarea:focus {
        border: none;
        box-shadow: none;
        background: none;
        padding: 6px 0;
        resize: none;
        min-height: 32px;
        max-height: 40vh;
        field-sizing: content;
        line-height: 20px;
      }
      button.send {
        width: 32px;
        padding: 0;
        border-radius: 8px;
      }
      button.send svg {
        width: 18px;
        height: 18px;
      }
      .sending {
        font-size: 12.5px;
        color: var(--text-3);
        align-self: center;
        white-space: nowrap;
      }
      @media (pointer: coarse) {
        button.send {
          width: 40px;
        }
        textarea,
        textarea:focus {
          padding: 9px 0;
          min-height: 40px;
        }
      }
    `,
  ];

  override focus(): void {
    this.area.focus();
  }

  get focused(): boolean {
    return this.shadowRoot?.activeElement === this.area;
  }

  private readonly typed = (): void => {
    this.text = this.area.value;
  };

  private readonly key = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      // A phone's Enter makes lines: there is a button to send.
      if (matchMedia("(pointer: coarse)").matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      void this.submit();
    } else if (event.key === "ArrowUp" && this.area.selectionStart === 0 && this.area.selectionEnd === 0) {
      this.recall(event, this.history.older(this.area.value));
    } else if (event.key === "ArrowDown" && this.area.selectionStart === this.area.value.length) {
      this.recall(event, this.history.newer());
    }
  };

  private recall(event: Event, text: string | null): void {
    if (text === null) return;
    event.preventDefault();
    this.area.value = text;
    this.area.setSelectionRange(0, 0);
    this.text = text;
  }

  private async submit(): Promise<void> {
    const text = this.area.value;
    if (!text.trim() || this.disabledWhy) return;
    this.history.sent(text);
    this.area.value = "";
    this.text = "";
    this.sending += 1;
    try {
      await this.send(text);
    } catch {
      // The page says why; the words come back unless new ones were written.
      if (!this.area.value) {
        this.area.value = text;
        this.text = text;
      }
    } finally {
      this.sending -= 1;
    }
  }

  override render() {
    const ready = this.text.trim() !== "" && !this.disabledWhy;
    return html`<form
      @submit=${(event: Event) => {
        event.preventDefault();
        void this.submit();
      }}
    >
      <textarea
        rows="1"
        maxlength=${MAX_PROMPT}
        aria-label="Prompt"
        enterkeyhint="enter"
        autocapitalize="sentences"
        placeholder=${this.disabledWhy || `Tell ${this.agent || "the agent"} what to do`}
        ?disabled=${this.disabledWhy !== ""}
        @input=${this.typed}
        @keydown=${this.key}
      ></textarea>
      ${this.sending > 0 ? html`<span class="sending" role="status">Sending…</span>` : ""}
      <button class="send primary" type="submit" aria-label="Send" title="Send (Enter)" ?disabled=${!ready}>${icon("up")}</button>
    </form>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-prompt-box": PromptBox;
  }
}
