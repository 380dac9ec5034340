import { Worker } from "node:worker_threads";
import { CodedError } from "../errors.ts";
import { workerFromSource } from "../source-worker.ts";
import { codedError } from "./failure.ts";
import type { FromWorker, GroupResult, ReadResult, ToWorker } from "./messages.ts";

/** One storage thread. Answers come in the order of the requests. */
export interface Thread {
  post(message: ToWorker): void;
  /** Sends a request that is answered once, outside the stanza path; rejects with the thread's error. */
  ask(message: ToWorker): Promise<void>;
  onGroup(listener: (result: GroupResult) => void): void;
  onRows(listener: (result: ReadResult) => void): void;
  /** Ends the thread; what it was asked before is done first. */
  close(): Promise<void>;
}

/** The built program finds worker.js beside this file; tests run from sources. */
function startWorker(): Worker {
  if (import.meta.url.endsWith(".ts")) return workerFromSource(new URL("./worker.ts", import.meta.url));
  return new Worker(new URL("./worker.js", import.meta.url));
}

/** Starts a thread; `ask` it to open the database. `onLost` is told if it dies before it is closed. */
export function startThread(onLost: (error: CodedError) => void): Thread {
  const worker = startWorker();
  const asked: { resolve: () => void; reject: (error: Error) => void }[] = [];
  let group: (result: GroupResult) => void = () => {};
  let rows: (result: ReadResult) => void = () => {};
  let closing = false;
  let gone: Error | undefined;
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));

  function lost(error: Error): void {
    const cause = new CodedError("storage/thread-lost", `A storage thread ended: ${error.message}.`, { cause: error });
    gone ??= cause;
    for (const { reject } of asked.splice(0)) reject(cause);
    onLost(cause);
  }

  worker.on("error", lost);
  worker.on("exit", (code) => {
    if (!closing && gone === undefined) lost(new Error(`exit code ${code}`));
  });
  worker.on("message", (message: FromWorker) => {
    if (typeof message === "number") return group(message);
    switch (message.kind) {
      case "units-failed":
      case "storage-failed":
        return group(message);
      case "rows":
        return rows(message);
      case "refused":
        return asked.shift()?.reject(codedError(message.error));
      case "opened":
      case "snapshot":
      case "closed":
        return asked.shift()?.resolve();
    }
  });

  const ask = (message: ToWorker) =>
    new Promise<void>((resolve, reject) => {
      if (gone !== undefined) return reject(gone);
      asked.push({ resolve, reject });
      worker.postMessage(message);
    });
  return {
    post: (message) => worker.postMessage(message),
    ask,
    onGroup: (listener) => {
      group = listener;
    },
    onRows: (listener) => {
      rows = listener;
    },
    async close() {
      closing = true;
      if (gone !== undefined) return;
      try {
        await ask({ kind: "close" });
      } finally {
        await exited;
      }
    },
  };
}
