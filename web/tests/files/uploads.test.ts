import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";

import { Problem } from "../../src/api/problem";
import type { FileStored } from "../../src/api/types";
import { fineName, freeName } from "../../src/files/names";
import { MAX_WAITING, type Send, Uploads } from "../../src/files/uploads";

describe("names", () => {
  it("stay where they can", () => {
    for (const name of ["report.pdf", ".env", "Bildschirmfoto 2026-11-20 um 12.00.png", "日本語.txt"]) expect(fineName(name)).toBe(name.normalize("NFC"));
  });

  it("lose what leads elsewhere or hides", () => {
    expect(fineName("../../etc/passwd")).toBe(".._.._etc_passwd");
    expect(fineName("invoice\u202efdp.exe")).toBe("invoicefdp.exe");
    expect(fineName(" a\nb ")).toBe("ab");
    expect(fineName("..")).toBe("file");
    expect(fineName("")).toBe("file");
  });

  it("are short enough and never empty, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0x21ff }), { maxLength: 300 }), (codes) => {
        const name = String.fromCodePoint(...codes);
        const fine = fineName(name);
        expect(new TextEncoder().encode(fine).length).toBeLessThanOrEqual(200);
        expect(fine).not.toBe("");
        expect(fine).not.toMatch(/[\\/\p{Cc}]/u);
      }),
    );
  });

  it("get a number when they are taken", () => {
    expect(freeName("a.tar.gz", new Set(["a.tar (2).gz"]))).toBe("a.tar (3).gz");
    expect(freeName("notes", new Set())).toBe("notes (2)");
  });
});

interface Sent {
  address: string;
  progress: (sent: number) => void;
  finish: (stored: FileStored) => void;
  fail: (problem: Problem) => void;
  cancelled: boolean;
}

function world() {
  const sent: Sent[] = [];
  const send: Send = (address, _file, progress) => {
    const one = { address, progress, cancelled: false } as Sent;
    sent.push(one);
    return {
      done: new Promise((resolve, reject) => {
        one.finish = resolve;
        one.fail = reject;
      }),
      cancel: () => {
        one.cancelled = true;
        one.fail(new Problem(0, "cancelled", "It was cancelled.", ""));
      },
    };
  };
  return { sent, uploads: new Uploads("s1", send) };
}

const file = (name: string): File => new File(["abc"], name);
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

describe("uploads", () => {
  it("go two at a time, the others wait", async () => {
    const { sent, uploads } = world();
    uploads.add(["a", "b", "c"].map(file));
    expect(uploads.all.map((one) => one.state)).toEqual(["sending", "sending", "waiting"]);
    sent[0]!.finish({ name: "a", size: 3, path: "/f/a" });
    await settle();
    expect(uploads.all.map((one) => one.state)).toEqual(["done", "sending", "sending"]);
    expect(sent[2]!.address).toBe("/api/v1/sessions/s1/files/c");
  });

  it("are cancelled at any time, and let others on", async () => {
    const { sent, uploads } = world();
    uploads.add(["a", "b", "c"].map(file));
    uploads.cancel(uploads.all[0]!.id);
    await settle();
    expect(sent[0]!.cancelled).toBe(true);
    expect(uploads.all.map((one) => [one.name, one.state])).toEqual([
      ["b", "sending"],
      ["c", "sending"],
    ]);
  });

  it("ask before they replace, or keep both", async () => {
    const { sent, uploads } = world();
    uploads.add([file("a.txt"), file("a.txt")]);
    const taken = new Problem(409, "conflict", "There is a file a.txt already.", "Replace it, or choose another name.");
    sent[0]!.fail(taken);
    sent[1]!.fail(taken);
    await settle();
    uploads.again(uploads.all[0]!.id, "replace");
    uploads.again(uploads.all[1]!.id, "rename");
    expect(sent.slice(2).map((one) => one.address)).toEqual([
      "/api/v1/sessions/s1/files/a.txt?replace=true",
      "/api/v1/sessions/s1/files/a%20(2).txt",
    ]);
  });

  it("keep what failed, with the reason", async () => {
    const { sent, uploads } = world();
    uploads.add([file("a")]);
    sent[0]!.fail(new Problem(503, "runner-unavailable", "The runner is not connected.", "Try again."));
    await settle();
    expect(uploads.all[0]).toMatchObject({ state: "failed", problem: { message: "The runner is not connected." } });
    expect(uploads.busy).toBe(false);
  });

  it("leave out too many", () => {
    const { uploads } = world();
    expect(uploads.add(Array.from({ length: MAX_WAITING + 3 }, (_, n) => file(`f${n}`)))).toBe(3);
  });

  it("tell of themselves", () => {
    const { uploads } = world();
    const heard = vi.fn();
    uploads.addEventListener("change", heard);
    uploads.add([file("a")]);
    expect(heard).toHaveBeenCalled();
  });
});
