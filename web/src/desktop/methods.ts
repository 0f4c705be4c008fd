/** By which way a desktop is shown: the best one that works, and the next when it does not. */

import type { ConnectionMethod } from "../api/types";

export type MethodName = ConnectionMethod["name"];

const api = "/api/v1";

/** Path and query of a way's WebSocket; the server may say it with or without the API's own path. */
export function pathOf(method: Pick<ConnectionMethod, "name" | "path">, sessionId: string): string {
  if (method.path) return method.path.startsWith(`${api}/`) ? method.path : `${api}${method.path}`;
  const tail = method.name === "guacamole" ? "guac/proxy" : `desktop/${method.name}`;
  return `${api}/sessions/${encodeURIComponent(sessionId)}/${tail}`;
}

/** What a person should hear after a way has failed. */
export interface Fallback {
  readonly from: MethodName;
  readonly to: MethodName;
  /** Nothing is left to try: `to` is where it began. */
  readonly exhausted: boolean;
}

/**
 * Which way is taken. Only a person's choice brings a way back that has failed, or its own success:
 * so it moves on at most once from each, and never to and fro.
 */
export class Choosing {
  methods: readonly ConnectionMethod[] = [];
  current: MethodName = "native";
  private home: MethodName = "native";
  private exhausted = false;
  private readonly failures = new Map<MethodName, string>();
  private readonly shown = new Set<MethodName>();

  /** `views`: what this page can show. `remembered`: what the person last chose here. */
  constructor(
    private readonly views: ReadonlySet<MethodName>,
    private readonly remembered: MethodName | null = null,
  ) {}

  /** The server's list: the first one decides where to begin, later ones only what is possible. */
  learn(methods: readonly ConnectionMethod[]): void {
    const first = this.methods.length === 0;
    this.methods = methods;
    if (!first) return;
    const wished = methods.find(({ name }) => name === this.remembered);
    const begin = wished && this.canTake(wished) ? wished : methods.find((method) => this.canTake(method));
    // The built-in way says itself, and better, why it does not work.
    this.current = this.home = begin?.name ?? "native";
  }

  /** By the person: also one that failed before. */
  choose(name: MethodName): void {
    this.failures.delete(name);
    this.exhausted = false;
    this.current = this.home = name;
  }

  /** It has shown a picture. */
  worked(name: MethodName): void {
    this.shown.add(name);
    this.failures.delete(name);
    if (name === this.current) this.exhausted = false;
  }

  /** It does not work. `null`: stay, there is nothing better. */
  fail(name: MethodName, why: string): Fallback | null {
    if (name !== this.current || this.exhausted) return null;
    this.failures.set(name, why || "It did not work.");
    const left = this.methods.filter((method) => this.canTake(method) && !this.failures.has(method.name));
    const next = left.find((method) => this.shown.has(method.name)) ?? left[0];
    if (next) {
      this.current = next.name;
      return { from: name, to: next.name, exhausted: false };
    }
    this.exhausted = true;
    if (this.home === name || !this.methods.some((method) => method.name === this.home && this.canTake(method))) return null;
    this.current = this.home;
    return { from: name, to: this.home, exhausted: true };
  }

  get method(): ConnectionMethod | null {
    return this.methods.find(({ name }) => name === this.current) ?? null;
  }

  label(name: MethodName): string {
    return this.methods.find((method) => method.name === name)?.label ?? name;
  }

  /** Why a way cannot be taken; empty when it can. */
  obstacle(method: ConnectionMethod): string {
    if (!method.available) return method.detail ?? "Not available.";
    return this.views.has(method.name) ? "" : "This page cannot show it.";
  }

  /** Why it failed here; empty when it has not. */
  failure(name: MethodName): string {
    return this.failures.get(name) ?? "";
  }

  private canTake(method: ConnectionMethod): boolean {
    return this.obstacle(method) === "";
  }
}
