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
  /** So many attempts wait no longer than this, whatever the factor says. */
  readonly eager?: { readonly attempts: number; readonly maxMs: number };
}

export const defaultPolicy: BackoffPolicy = { firstMs: 400, factor: 2, maxMs: 30_000 };

/** For what somebody looks at: half a minute of short waits, then as for everything else. */
export const watchedPolicy: BackoffPolicy = { firstMs: 150, factor: 1.5, maxMs: 30_000, eager: { attempts: 80, maxMs: 500 } };

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
    const { firstMs, factor, maxMs, eager } = this.policy;
    const patient = Math.max(0, this.spent - (eager?.attempts ?? 0));
    const ceiling =
      eager && patient === 0
        ? Math.min(eager.maxMs, firstMs * factor ** this.spent)
        : Math.min(maxMs, (eager?.maxMs ?? firstMs) * factor ** patient);
    this.spent += 1;
    return Math.round(ceiling * (0.5 + this.random() / 2));
  }

  contentDelivered(): void {
    this.spent = 0;
  }
}
