/** A pairing as the page follows it: asked after once a second, until it is over. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

import { devices } from "../../api/devices";
import { type Problem, asProblem } from "../../api/problem";
import type { Pairing } from "../../api/types";

const EVERY_MS = 1_000;

type State = Pairing["state"];

/** States in which something can still happen. */
const open: ReadonlySet<State> = new Set<State>(["waiting", "presented", "confirmed"]);

export class PairingWatch implements ReactiveController {
  pairing: Pairing | null = null;
  problem: Problem | null = null;
  busy = false;
  /** The server does not answer; it is asked again. */
  away = false;
  /** Code, command and picture come once, in the first answer. */
  private first: Pick<Pairing, "code" | "command" | "qr"> = {};
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Answers of a pairing that was left. */
  private round = 0;

  constructor(
    private readonly host: ReactiveControllerHost,
    private readonly over: () => void,
  ) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.leave();
  }

  /** Milliseconds until the code ends. */
  left(now = Date.now()): number {
    return this.pairing ? Math.max(0, Date.parse(this.pairing.expiresAt) - now) : 0;
  }

  async start(): Promise<void> {
    this.leave();
    await this.asking(() => devices.startPairing(false));
  }

  resume(pairing: Pairing): void {
    this.leave();
    this.take(pairing);
    this.next(this.round);
  }

  async confirm(): Promise<void> {
    const { pairing } = this;
    // What the person saw, and nothing that came after.
    const fingerprint = pairing?.machine?.fingerprint;
    if (pairing && fingerprint) await this.asking(() => devices.confirmPairing(pairing.id, fingerprint));
  }

  async refuse(): Promise<void> {
    const { pairing } = this;
    if (pairing) await this.asking(() => devices.refusePairing(pairing.id));
  }

  /** Stop following. A code that nobody has used yet is void then. */
  leave(): void {
    this.round += 1;
    clearTimeout(this.timer);
    const { pairing } = this;
    if (pairing?.state === "waiting") devices.refusePairing(pairing.id).catch(() => {});
    this.pairing = null;
    this.problem = null;
    this.first = {};
    this.away = false;
    this.busy = false;
  }

  private async asking(ask: () => Promise<Pairing>): Promise<void> {
    const { round } = this;
    this.busy = true;
    this.problem = null;
    this.host.requestUpdate();
    try {
      const pairing = await ask();
      if (round !== this.round) {
        if (pairing.state === "waiting") devices.refusePairing(pairing.id).catch(() => {});
        return;
      }
      this.take(pairing);
      this.next(round);
    } catch (error) {
      if (round === this.round) this.problem = asProblem(error);
    } finally {
      if (round === this.round) this.busy = false;
      this.host.requestUpdate();
    }
  }

  private next(round: number): void {
    clearTimeout(this.timer);
    if (this.pairing && open.has(this.pairing.state)) this.timer = setTimeout(() => void this.poll(round), EVERY_MS);
  }

  private async poll(round: number): Promise<void> {
    const id = this.pairing?.id;
    if (!id || round !== this.round) return;
    try {
      const pairing = await devices.pairing(id);
      if (round !== this.round) return;
      this.away = false;
      this.take(pairing);
    } catch (error) {
      if (round !== this.round) return;
      const problem = asProblem(error);
      if (problem.status === 0 || problem.status >= 500 || problem.status === 429) this.away = true;
      else {
        this.problem = problem;
        this.host.requestUpdate();
        return;
      }
    }
    this.next(round);
    this.host.requestUpdate();
  }

  private take(pairing: Pairing): void {
    if (pairing.code) this.first = { code: pairing.code, command: pairing.command ?? null, qr: pairing.qr ?? null };
    const wasOpen = this.pairing === null || open.has(this.pairing.state);
    this.pairing = { ...pairing, ...this.first };
    if (wasOpen && !open.has(pairing.state)) this.over();
    this.host.requestUpdate();
  }
}

/** A picture of the code: in an `img`, where an SVG can run nothing. */
export function pictureUrl(svg: string): string {
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
}
