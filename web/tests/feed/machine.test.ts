import { describe, expect, it } from "vitest";

import { verdictOn } from "../../src/feed/close-codes";
import { type Event, type State, isOpen, states, step } from "../../src/feed/machine";

/** What a play of events leads to. */
function play(...events: Event[]): State {
  return events.reduce<State>((state, event) => step(state, event)?.to ?? state, "idle");
}

describe("the connection's life", () => {
  it("goes from nothing to live", () => {
    expect(play("started")).toBe("connecting");
    expect(play("started", "opened")).toBe("greeting");
    expect(play("started", "opened", "greeted")).toBe("replaying");
    expect(play("started", "opened", "greeted", "caught-up")).toBe("live");
  });

  it("waits after every loss, and dials again", () => {
    expect(play("started", "lost")).toBe("waiting");
    expect(play("started", "opened", "greeted", "caught-up", "lost", "waited")).toBe("connecting");
  });

  it("does not wait when the network is back", () => {
    const taken = step("waiting", "nudged");
    expect(taken).toEqual({ to: "connecting", commands: ["cancel-wait", "dial", "watch"] });
  });

  it("asks for a sign of life when nudged while open", () => {
    expect(step("live", "nudged")).toEqual({ to: "live", commands: ["probe"] });
  });

  it("stays ended until somebody starts it again", () => {
    expect(play("started", "opened", "refused", "nudged", "waited", "lost")).toBe("ended");
    expect(play("started", "refused", "started")).toBe("connecting");
  });

  it("can always be stopped, and leaves nothing behind", () => {
    for (const state of states.filter((name) => name !== "idle")) {
      expect(step(state, "stopped")).toEqual({ to: "idle", commands: ["hang-up", "cancel-wait"] });
    }
  });

  it("hangs up whenever it stops using a connection", () => {
    for (const state of states.filter((name) => isOpen(name) || name === "connecting" || name === "greeting")) {
      for (const event of ["lost", "refused", "stopped"] as const) expect(step(state, event)?.commands).toContain("hang-up");
    }
  });

  it("ignores what an old socket still says", () => {
    expect(step("waiting", "opened")).toBeNull();
    expect(step("idle", "lost")).toBeNull();
    expect(step("ended", "greeted")).toBeNull();
  });
});

describe("close codes", () => {
  it.each([1000, 1001, 1006, 1011, 4008, 4999])("%i means: try again", (code) => {
    expect(verdictOn(code).then).toBe("retry");
  });

  it.each([
    [4000, "superseded"],
    [4001, "signed-out"],
    [4003, "not-allowed"],
    [4004, "not-found"],
    [4009, "protocol"],
  ])("%i means: the end (%s), with what to do", (code, name) => {
    const verdict = verdictOn(code);
    expect(verdict).toMatchObject({ then: "end", code: name });
    expect(verdict.then === "end" && verdict.remedy).not.toBe("");
  });

  it("4010 means: from the beginning", () => {
    expect(verdictOn(4010).then).toBe("restart");
  });
});
