/**
 * Commands on their way: kept until the server took or refused them, and sent again after a
 * reconnect under the same id, which has no second effect.
 */

import type { ClientMessage } from "./messages";

export type CommandMessage = Extract<ClientMessage, { commandId: string }>;

/** Commands that may wait at once. */
export const MAX_WAITING = 32;

interface Waiting {
  readonly message: CommandMessage;
  readonly taken: () => void;
  readonly refused: (error: Error) => void;
}

export class CommandRefused extends Error {
  override readonly name = "CommandRefused";

  constructor(
    readonly code: string,
    detail: string,
    readonly remedy: string,
  ) {
    super(detail);
  }
}

export class Outbox {
  private readonly waiting = new Map<string, Waiting>();

  get size(): number {
    return this.waiting.size;
  }

  /** Resolves when the server took the command; rejects with `CommandRefused`. */
  add(message: CommandMessage): Promise<void> {
    if (this.waiting.size >= MAX_WAITING) {
      return Promise.reject(
        new CommandRefused("too-many", "Too many commands are waiting to be sent.", "Wait until the connection is back."),
      );
    }
    return new Promise((taken, refused) => {
      this.waiting.set(message.commandId, { message, taken, refused });
    });
  }

  /** What to send (again) on a fresh connection, oldest first. */
  unsent(): CommandMessage[] {
    return [...this.waiting.values()].map((entry) => entry.message);
  }

  accepted(commandId: string): void {
    this.waiting.get(commandId)?.taken();
    this.waiting.delete(commandId);
  }

  /** True when the error was about a command that waits here. */
  refused(commandId: string, error: CommandRefused): boolean {
    const entry = this.waiting.get(commandId);
    if (!entry) return false;
    this.waiting.delete(commandId);
    entry.refused(error);
    return true;
  }

  abandon(error: CommandRefused): void {
    for (const id of [...this.waiting.keys()]) this.refused(id, error);
  }
}
