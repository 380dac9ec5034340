import type { IncomingMessage } from "node:http";
import { request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import type { Core } from "../module.ts";
import { type UploadAddress, uploadAddress } from "../web-points.ts";
import { proof } from "./credential.ts";
import { enabled, uploadBase } from "./properties.ts";

const firstMs = 5000;
const tickMs = 60_000;
/** An address that was right is asked again after this. */
const againMs = 3600_000;
const patienceMs = 10_000;
const mostAnswer = 4096;

export interface Reachability {
  stop(): void;
}

/**
 * Asks the address that programs are told, at the start and whenever it changes, whether this very server answers there:
 * a wrong one behind a proxy is what goes wrong most. What it finds stands in status and doctor.
 */
export function reachability(core: Core, key: Buffer): Reachability {
  const { clock, names, properties, report } = core;
  const stopping = new AbortController();
  let found: UploadAddress | undefined;
  let lookedAt = 0;
  let looking = false;

  async function look(address: string): Promise<void> {
    looking = true;
    const problem = await problemAt(core, address, key, stopping.signal);
    looking = false;
    if (stopping.signal.aborted) return;
    lookedAt = clock.now();
    const before = found;
    found = { address, ...(problem !== undefined && { problem }) };
    if (problem !== before?.problem || address !== before?.address) {
      if (problem === undefined) report.uploadsReachable({ address });
      else report.uploadsUnreachable({ address, why: problem });
    }
    if (told() !== address) tick();
  }

  const told = (): string | undefined => (properties.get(enabled) ? uploadBase(core, names.primary.name) : undefined);

  function tick(): void {
    const address = told();
    if (address === undefined) found = undefined;
    else if (address !== found?.address || found.problem !== undefined || clock.now() - lookedAt >= againMs)
      if (!looking) void look(address);
  }

  core.every(tickMs, tick);
  const cancel = clock.after(firstMs, tick);
  core.offer(uploadAddress, { state: () => found });
  return {
    stop() {
      cancel();
      stopping.abort();
    },
  };
}

/** Undefined: this server answers there. */
async function problemAt(core: Core, base: string, key: Buffer, signal: AbortSignal): Promise<string | undefined> {
  const question = core.random(16).toString("hex");
  try {
    const { status, body } = await get(`${base}/upload/check?question=${question}`, signal);
    if (status !== 200) return `it answers with ${status}`;
    const told: unknown = JSON.parse(body);
    const ours = typeof told === "object" && told !== null && "proof" in told && told.proof === proof(key, question);
    return ours ? undefined : another;
  } catch (error) {
    if (error instanceof SyntaxError) return another;
    const { code, message } = error as NodeJS.ErrnoException;
    return code ?? message;
  }
}

const another = "another server answers there";

function get(address: string, signal: AbortSignal): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const url = new URL(address);
    // Whether the certificate is good is another question; doctor asks it.
    const options = { agent: false, timeout: patienceMs, signal, headers: { accept: "application/json" } };
    const asked =
      url.protocol === "https:"
        ? secureRequest(url, { ...options, rejectUnauthorized: false })
        : plainRequest(url, options);
    asked.once("response", (answer: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > mostAnswer) asked.destroy(new SyntaxError("too long"));
        else chunks.push(chunk);
      });
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      answer.once("error", reject);
    });
    asked.once("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.once("error", reject);
    asked.end();
  });
}
