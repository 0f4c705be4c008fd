/**
 * Who else is at the desktop and who has control, for ways whose protocols know nothing of that: a
 * connection of the built-in way that wants no pictures.
 */

import { type Control, controlNews, controlOf, shared } from "./control";
import type { DesktopIs, FromDesktop, Wish } from "./messages";
import { encode } from "./messages";
import { DesktopStream, type StreamHooks } from "./stream";

export interface PresenceHooks {
  changed(): void;
  news(text: string): void;
  signedIn: StreamHooks["signedIn"];
}

export class Presence {
  /** Without the connection: whoever may steer can, all at once. */
  control: Control;
  desktop: DesktopIs | null = null;
  private readonly stream: DesktopStream;

  constructor(
    sessionId: string,
    private readonly maySteer: boolean,
    private readonly hooks: PresenceHooks,
    options: ConstructorParameters<typeof DesktopStream>[2] = {},
  ) {
    this.control = shared(maySteer);
    this.stream = new DesktopStream(
      sessionId,
      {
        opened: () => this.stream.send(encode.note({ type: "watch", video: "none", audio: false, statistics: false })),
        message: (message) => this.heard(message),
        changed: ({ state }) => {
          if (state === "waiting" || state === "ended") this.become(shared(this.maySteer));
        },
        signedIn: hooks.signedIn,
      },
      options,
    );
  }

  start(): void {
    this.stream.start();
  }

  stop(): void {
    this.stream.stop();
  }

  wish(wish: Wish): boolean {
    return this.stream.send(encode.note(wish));
  }

  private heard(message: FromDesktop): void {
    if (message.type === "desktop") {
      this.desktop = message;
      this.hooks.changed();
    } else if (message.type === "viewers") {
      this.stream.shown();
      const after = controlOf(message);
      const news = controlNews(this.control, after);
      this.become(after);
      if (news) this.hooks.news(news);
    }
  }

  private become(control: Control): void {
    this.control = control;
    this.hooks.changed();
  }
}
