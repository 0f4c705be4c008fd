/** Audit records page by page, newest first; the same for the whole log and for one session. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

import { type Problem, asProblem } from "../../api/problem";
import type { AuditPage, AuditRecord } from "../../api/types";

export class AuditPages implements ReactiveController {
  records: readonly AuditRecord[] = [];
  problem: Problem | null = null;
  busy = false;
  loaded = false;
  private nextBefore: number | null = null;
  private round = 0;

  constructor(
    private readonly host: ReactiveControllerHost,
    private readonly load: (before: number | undefined) => Promise<AuditPage>,
  ) {
    host.addController(this);
  }

  hostConnected(): void {}

  get more(): boolean {
    return this.nextBefore !== null;
  }

  /** From the newest on, as what is asked for has changed. */
  async restart(): Promise<void> {
    this.round += 1;
    this.records = [];
    this.loaded = false;
    this.nextBefore = null;
    await this.fetch(undefined);
  }

  async loadMore(): Promise<void> {
    if (!this.busy) await this.fetch(this.nextBefore ?? undefined);
  }

  private async fetch(before: number | undefined): Promise<void> {
    const { round } = this;
    this.busy = true;
    this.problem = null;
    this.host.requestUpdate();
    try {
      const page = await this.load(before);
      if (round !== this.round) return;
      this.records = [...this.records, ...page.records];
      this.nextBefore = page.nextBefore ?? null;
      this.loaded = true;
    } catch (error) {
      if (round === this.round) this.problem = asProblem(error);
    } finally {
      if (round === this.round) {
        this.busy = false;
        this.host.requestUpdate();
      }
    }
  }
}
