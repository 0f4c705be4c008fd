/**
 * How long to wait before the next attempt.
 *
 * Every attempt costs; only delivered content gives the budget back. A server that accepts
 * connections and then drops them is therefore not hammered just because it says hello.
 */

export interface BackoffPolicy {
  readonly firstMs: number;
  readonly factor: number;
  readonly maxMs: number;
}

export const defaultPolicy: BackoffPolicy = { firstMs: 400, factor: 2, maxMs: 30_000 };

export class Backoff {
  private spent = 0;

  constructor(
    private readonly policy: BackoffPolicy = defaultPolicy,
    private readonly random: () => number = Math.random,
  ) {}

  /** Attempts since content last arrived. */
  get attempts(): number {
    return this.spent;
  }

  /** Take one attempt: milliseconds to wait for it, between half and all of the step's ceiling. */
  next(): number {
    const ceiling = Math.min(this.policy.maxMs, this.policy.firstMs * this.policy.factor ** this.spent);
    this.spent += 1;
    return Math.round(ceiling * (0.5 + this.random() / 2));
  }

  contentDelivered(): void {
    this.spent = 0;
  }
}
