import { describe, expect, it } from "vitest";

import { MAX_CLIPBOARD, type Offer, SharedClipboard } from "../../src/desktop/clipboard";
import type { Clipboard } from "../../src/desktop/messages";

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const copied = (text: string): Clipboard => ({ type: "clipboard", kind: "text", data: bytes(text) });

function both(shares: boolean, system: Partial<globalThis.Clipboard> = {}) {
  const seen = { sent: [] as string[], offered: [] as string[], taken: [] as string[], written: [] as string[], tooLarge: 0, connected: true };
  const clipboard = new SharedClipboard(
    {
      send: (_kind, data) => {
        if (seen.connected) seen.sent.push(new TextDecoder().decode(data));
        return seen.connected;
      },
      offered: (offer: Offer) => seen.offered.push(offer.text),
      taken: (offer) => seen.taken.push(offer.text),
      tooLarge: () => (seen.tooLarge += 1),
      shares: () => shares,
    },
    () =>
      ({
        writeText: (text: string) => {
          seen.written.push(text);
          return Promise.resolve();
        },
        ...system,
      }) as globalThis.Clipboard,
  );
  return { seen, clipboard };
}

const pasted = (text: string): DataTransfer => ({ files: [], getData: () => text }) as unknown as DataTransfer;

describe("what the desktop copies", () => {
  it("is only offered, until the person shares the clipboard", async () => {
    const { seen, clipboard } = both(false);
    await clipboard.received(copied("a"));
    expect(seen).toMatchObject({ offered: ["a"], written: [] });
  });

  it("is taken where it is shared, and offered where the browser forbids that", async () => {
    const shared = both(true);
    await shared.clipboard.received(copied("a"));
    expect(shared.seen).toMatchObject({ taken: ["a"], written: ["a"], offered: [] });
    const forbidden = both(true, { writeText: () => Promise.reject(new Error("no")) });
    await forbidden.clipboard.received(copied("a"));
    expect(forbidden.seen).toMatchObject({ offered: ["a"], taken: [] });
  });

  it("does not go round in circles", async () => {
    const { seen, clipboard } = both(true, { readText: () => Promise.resolve("a") });
    await clipboard.received(copied("a"));
    await clipboard.offerOwn();
    expect(seen.sent).toEqual([]);
    await clipboard.received(copied("a"));
    expect(seen.taken).toEqual(["a"]);
  });
});

describe("what the person pastes", () => {
  it("goes out once, and again when it did not get through", async () => {
    const { seen, clipboard } = both(false);
    seen.connected = false;
    await clipboard.paste(pasted("a"));
    seen.connected = true;
    await clipboard.paste(pasted("a"));
    await clipboard.paste(pasted("a"));
    expect(seen.sent).toEqual(["a"]);
    await clipboard.paste(pasted("b"));
    await clipboard.paste(pasted("a"));
    expect(seen.sent).toEqual(["a", "b", "a"]);
  });

  it("has a limit, in words", async () => {
    const { seen, clipboard } = both(false);
    await clipboard.paste(pasted("x".repeat(MAX_CLIPBOARD + 1)));
    expect(seen).toMatchObject({ sent: [], tooLarge: 1 });
  });

  it("is read from this machine without being asked only where it is shared", async () => {
    const { seen, clipboard } = both(false, { readText: () => Promise.reject(new Error("never asked")) });
    await clipboard.offerOwn();
    expect(seen.sent).toEqual([]);
  });
});
