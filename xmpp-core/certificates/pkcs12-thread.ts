/** Opens P12 files beside the stanza path: their derivation is JavaScript and may take seconds. */
import { Worker } from "node:worker_threads";
import { CodedError } from "../errors.ts";
import { workerFromSource } from "../source-worker.ts";
import type { OpenedPkcs12, ToOpen } from "./pkcs12-worker.ts";

/** As `readPkcs12`, in a thread of its own. */
export function openPkcs12(
  bytes: Buffer,
  password: string | undefined,
  file: string,
): Promise<{ chain: string; key: string }> {
  const worker = startWorker({ bytes, password, file });
  return new Promise((resolve, reject) => {
    worker.once("message", (answer: OpenedPkcs12) => {
      if (answer.is === "open") return resolve({ chain: answer.chain, key: answer.key });
      const { code, message, fields, hint } = answer;
      reject(new CodedError(code, message, hint === undefined ? { fields } : { fields, hint }));
    });
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error(`The thread that opens ${file} ended.`)));
  });
}

/** As in storage/thread.ts. */
function startWorker(workerData: ToOpen): Worker {
  if (import.meta.url.endsWith(".ts"))
    return workerFromSource(new URL("./pkcs12-worker.ts", import.meta.url), { workerData });
  return new Worker(new URL("./pkcs12-worker.js", import.meta.url), { workerData });
}
