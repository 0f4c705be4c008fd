/** Prompts one sent before, recalled with the arrow keys. */

const MAX_PROMPTS = 100;

export class PromptHistory {
  private readonly prompts: string[] = [];
  /** How far back the recall stands; 0 is what is being written. */
  private back = 0;
  private draft = "";

  sent(text: string): void {
    const known = this.prompts.indexOf(text);
    if (known >= 0) this.prompts.splice(known, 1);
    this.prompts.push(text);
    if (this.prompts.length > MAX_PROMPTS) this.prompts.shift();
    this.back = 0;
  }

  /** The next older prompt; `null` at the oldest. `current` is kept to come back to. */
  older(current: string): string | null {
    if (this.back >= this.prompts.length) return null;
    if (this.back === 0) this.draft = current;
    this.back += 1;
    return this.prompts.at(-this.back) ?? null;
  }

  /** The next newer one, at last what was being written; `null` when there already. */
  newer(): string | null {
    if (this.back === 0) return null;
    this.back -= 1;
    return this.back === 0 ? this.draft : (this.prompts.at(-this.back) ?? null);
  }
}
