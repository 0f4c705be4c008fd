/** Files on their way to a session: a few at a time, each with its progress, to be cancelled or tried again. */

import { Problem, problemFrom, unreachable } from "../api/problem";
import { files } from "../api/files";
import type { FileStored } from "../api/types";
import { fineName, freeName } from "./names";

/** Sent at once; others wait. */
const AT_ONCE = 2;
/** More than this at one time is a mistake, such as a whole folder. */
export const MAX_WAITING = 200;
/** How long one that has arrived stays on the list. */
const STAYS_MS = 8_000;
/** A progress that nobody could see is not told. */
const PROGRESS_MS = 100;

export type UploadState = "waiting" | "sending" | "done" | "failed";

export interface Upload {
  readonly id: number;
  readonly file: File;
  readonly name: string;
  readonly state: UploadState;
  readonly sent: number;
  /** Bytes in a second, as of late. */
  readonly rate: number;
  readonly problem: Problem | null;
  readonly stored: FileStored | null;
}

/** Sends one file. XMLHttpRequest, because fetch tells nothing of an upload's progress. */
export type Send = (
  address: string,
  file: Blob,
  progress: (sent: number) => void,
) => { readonly done: Promise<FileStored>; readonly cancel: () => void };

export const sendFile: Send = (address, file, progress) => {
  const request = new XMLHttpRequest();
  const done = new Promise<FileStored>((resolve, reject) => {
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => {
      let body: unknown = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // problemFrom has words for that too
      }
      if (request.status === 201) resolve(body as FileStored);
      else reject(problemFrom(request.status, body, request.getResponseHeader("retry-after")));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new Problem(0, "cancelled", "It was cancelled.", ""));
  });
  request.open("PUT", address);
  request.setRequestHeader("content-type", "application/octet-stream");
  request.send(file);
  return { done, cancel: () => request.abort() };
};

interface Sending {
  cancel(): void;
}

export class Uploads extends EventTarget {
  all: readonly Upload[] = [];
  private readonly sending = new Map<number, Sending>();
  private readonly taken = new Set<string>();
  private nextId = 1;

  constructor(
    readonly sessionId: string,
    private readonly send: Send = sendFile,
  ) {
    super();
  }

  get busy(): boolean {
    return this.all.some((upload) => upload.state === "waiting" || upload.state === "sending");
  }

  /** Send these. How many are too many is the number of those that were left out. */
  add(list: Iterable<File>): number {
    let left = 0;
    const added: Upload[] = [];
    for (const file of list) {
      if (this.all.length + added.length >= MAX_WAITING) {
        left += 1;
        continue;
      }
      added.push({ id: this.nextId, file, name: fineName(file.name), state: "waiting", sent: 0, rate: 0, problem: null, stored: null });
      this.nextId += 1;
    }
    this.all = [...this.all, ...added];
    this.changed();
    this.next();
    return left;
  }

  cancel(id: number): void {
    this.sending.get(id)?.cancel();
    this.forget(id);
    this.next();
  }

  cancelAll(): void {
    for (const { id } of this.all) this.sending.get(id)?.cancel();
    this.all = [];
    this.changed();
  }

  /** Once more; `how` says what to do with a file of that name that is there. */
  again(id: number, how: "same" | "replace" | "rename" = "same"): void {
    const upload = this.all.find((one) => one.id === id);
    if (upload?.state !== "failed") return;
    const name = how === "rename" ? freeName(upload.name, this.taken) : upload.name;
    this.put(id, { name, state: "waiting", sent: 0, problem: null });
    if (how === "replace") void this.start(id, true);
    else this.next();
  }

  forget(id: number): void {
    this.all = this.all.filter((one) => one.id !== id);
    this.changed();
  }

  private next(): void {
    while (this.sending.size < AT_ONCE) {
      const waiting = this.all.find((one) => one.state === "waiting" && !this.sending.has(one.id));
      if (!waiting) return;
      void this.start(waiting.id, false);
    }
  }

  private async start(id: number, replace: boolean): Promise<void> {
    const upload = this.all.find((one) => one.id === id);
    if (!upload) return;
    this.put(id, { state: "sending" });
    let told = 0;
    let before = { at: performance.now(), sent: 0 };
    const address = files.address(this.sessionId, upload.name) + (replace ? "?replace=true" : "");
    const sending = this.send(address, upload.file, (sent) => {
      const now = performance.now();
      if (now - told < PROGRESS_MS) return;
      told = now;
      let { rate } = this.all.find((one) => one.id === id) ?? upload;
      if (now - before.at > 1_000) {
        rate = ((sent - before.sent) * 1_000) / (now - before.at);
        before = { at: now, sent };
      }
      this.put(id, { sent, rate });
    });
    this.sending.set(id, sending);
    try {
      const stored = await sending.done;
      this.taken.add(stored.name);
      this.put(id, { state: "done", sent: upload.file.size, stored });
      this.dispatchEvent(new CustomEvent<FileStored>("stored", { detail: stored }));
      setTimeout(() => this.forget(id), STAYS_MS);
    } catch (error) {
      const problem = error instanceof Problem ? error : unreachable();
      if (problem.code === "conflict") this.taken.add(upload.name);
      this.put(id, { state: "failed", problem });
    } finally {
      this.sending.delete(id);
      this.next();
    }
  }

  private put(id: number, what: Partial<Upload>): void {
    this.all = this.all.map((one) => (one.id === id ? { ...one, ...what } : one));
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}

/** Files in what is dropped or pasted; folders are left out, with their number. */
export function filesIn(data: DataTransfer): { files: File[]; folders: number } {
  const found: File[] = [];
  let folders = 0;
  for (const item of data.items) {
    if (item.kind !== "file") continue;
    if (item.webkitGetAsEntry?.()?.isDirectory) folders += 1;
    else {
      const file = item.getAsFile();
      if (file) found.push(file);
    }
  }
  return { files: found, folders };
}
