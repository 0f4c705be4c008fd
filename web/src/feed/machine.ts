/**
 * The life of a connection that resumes by cursor, as a table.
 *
 * Nothing here opens sockets or reads clocks: a driver feeds it events (what happened) and carries out
 * the commands it answers with (what to do). Whatever the table does not list is ignored in that
 * state, so a late event of an old socket can do no harm.
 */

export type State = "idle" | "connecting" | "greeting" | "replaying" | "live" | "waiting" | "ended";

export type Event =
  /** Somebody wants the connection. */
  | "started"
  /** The socket is open. */
  | "opened"
  /** The server's first message came. */
  | "greeted"
  /** Everything from before we connected is here. */
  | "caught-up"
  /** The socket closed or went silent; trying again may help. */
  | "lost"
  /** The server said that trying again cannot help. */
  | "refused"
  /** The wait before the next attempt is over. */
  | "waited"
  /** The network or the person came back: do not wait any longer. */
  | "nudged"
  /** Nobody wants the connection any more. */
  | "stopped";

export type Command =
  | "dial"
  | "hang-up"
  | "wait"
  | "cancel-wait"
  /** Give the server a limited time for what it owes us. */
  | "watch"
  /** Ask the server for a sign of life, soon. */
  | "probe";

interface Step {
  readonly to: State;
  readonly commands: readonly Command[];
}

const lost: Step = { to: "waiting", commands: ["hang-up", "wait"] };
const refused: Step = { to: "ended", commands: ["hang-up", "cancel-wait"] };
const stopped: Step = { to: "idle", commands: ["hang-up", "cancel-wait"] };
const dial: Step = { to: "connecting", commands: ["cancel-wait", "dial", "watch"] };

const table: Record<State, Partial<Record<Event, Step>>> = {
  idle: { started: dial },
  connecting: {
    opened: { to: "greeting", commands: ["watch"] },
    lost,
    refused,
    stopped,
  },
  greeting: {
    greeted: { to: "replaying", commands: ["watch"] },
    lost,
    refused,
    stopped,
  },
  replaying: {
    "caught-up": { to: "live", commands: ["watch"] },
    nudged: { to: "replaying", commands: ["probe"] },
    lost,
    refused,
    stopped,
  },
  live: {
    nudged: { to: "live", commands: ["probe"] },
    lost,
    refused,
    stopped,
  },
  waiting: { waited: dial, nudged: dial, refused, stopped },
  ended: { started: dial, stopped },
};

/** What happens on `event` in `state`; `null` when it means nothing there. */
export function step(state: State, event: Event): Step | null {
  return table[state][event] ?? null;
}

export const states = Object.keys(table) as State[];

/** Can something be sent now? */
export function isOpen(state: State): boolean {
  return state === "replaying" || state === "live";
}
