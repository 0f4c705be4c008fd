/** What the start dialog begins with, and what it sends. */

import type { Agent, Runner, Session, StartSession } from "../api/types";
import type { Preferences } from "../store/preferences";
import { joinCommand, splitCommand } from "./command-line";

export interface StartForm {
  readonly runnerId: string;
  readonly agent: string;
  readonly prompt: string;
  readonly folder: string;
  readonly worktree: boolean;
  readonly branch: string;
  readonly base: string;
  readonly title: string;
  readonly desktop: boolean;
  /** Record the desktop from the beginning. */
  readonly record: boolean;
  /** As `1280x800`. */
  readonly desktopSize: string;
  /** For the agent `command`: what to run; for others: more arguments. */
  readonly command: string;
}

export const DESKTOP_SIZES = ["1280x800", "1600x900", "1920x1080", "2560x1440"] as const;

/** Why this machine gives sessions no desktop; empty where it does. */
export function noDesktopWhy(runner: Runner | undefined): string {
  return runner?.capabilities?.["desktop"] ?? "Its runner says nothing of desktops.";
}

/** Agents in the order in which they are offered first. */
const preferred = ["claude", "codex", "gemini", "opencode", "shell"];

export function agentsOf(runner: Runner | undefined): Agent[] {
  const place = (agent: Agent): number => {
    const at = preferred.indexOf(agent.name);
    return at < 0 ? preferred.length : at;
  };
  return [...(runner?.agents ?? [])].sort((a, b) => Number(b.available) - Number(a.available) || place(a) - place(b));
}

/** The agent used last where it can be had, else the first that can. */
export function agentFor(runner: Runner | undefined, wanted: string): string {
  const available = agentsOf(runner).filter((agent) => agent.available);
  return (available.find((agent) => agent.name === wanted) ?? available[0])?.name ?? "";
}

export function initialForm(runners: readonly Runner[], remembered: Readonly<Preferences>, like?: Session): StartForm {
  const connected = runners.filter((runner) => runner.state === "connected");
  const wanted = like?.runnerId ?? remembered.lastRunner;
  const runner = connected.find((candidate) => candidate.id === wanted) ?? connected[0];
  const form = {
    runnerId: runner?.id ?? "",
    agent: agentFor(runner, like?.agent ?? remembered.lastAgent),
    prompt: like?.prompt ?? "",
    folder: runner ? (remembered.folders[runner.id] ?? "") : "",
    worktree: remembered.lastWorktree,
    branch: "",
    base: "",
    title: like?.title ?? "",
    desktop: like?.hasDesktop ?? remembered.lastDesktop,
    record: false,
    desktopSize: DESKTOP_SIZES[0],
    command: "",
  };
  if (!like) return form;
  return {
    ...form,
    folder: like.runnerId === runner?.id ? (like.worktree?.repository ?? like.folder) : "",
    worktree: like.worktree !== null,
    command: joinCommand(like.command),
  };
}

/**
 * The request for a form.
 *
 * @throws CommandLineError when the command cannot be read.
 */
export function requestFor(form: StartForm, cells: { cols: number; rows: number }, home: string, commandId: string): StartSession {
  const folder = form.folder.trim();
  return {
    agent: form.agent,
    runnerId: form.runnerId,
    command: splitCommand(form.command),
    prompt: form.prompt.trim(),
    title: form.title.trim(),
    cols: cells.cols,
    rows: cells.rows,
    commandId,
    ...(form.desktop ? { desktop: { ...sizeIn(form.desktopSize), record: form.record } } : {}),
    ...(form.worktree
      ? { worktree: { repository: folder || home, branch: form.branch.trim(), base: form.base.trim() } }
      : folder
        ? { folder }
        : {}),
  };
}

function sizeIn(text: string): { width: number; height: number } {
  const [width = 1280, height = 800] = text.split("x").map(Number);
  return { width, height };
}

/** Cells that the session page will about have, so that the agent draws at the right size at once. */
export function likelyCells(width: number, height: number, fontSize: number): { cols: number; rows: number } {
  const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, Math.floor(value)));
  return { cols: clamp(width / (fontSize * 0.6), 40, 300), rows: clamp(height / (fontSize * 1.32), 12, 120) };
}
