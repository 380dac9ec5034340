import type { IncomingMessage } from "node:http";
import { request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import type { Core } from "../module.ts";
import { proof } from "./credential.ts";

export type Reached = { readonly ok: true; readonly trusted: boolean } | { readonly ok: false; readonly why: string };

const patienceMs = 10_000;
const mostAnswer = 4096;

/** Asks an address that clients would be given whether this very server answers there. */
export async function reach(core: Core, base: string, key: Buffer): Promise<Reached> {
  const question = core.random(16).toString("hex");
  try {
    const { status, body, trusted } = await get(`${base}/upload/check?question=${question}`);
    if (status !== 200) return { ok: false, why: `it answers with ${status}` };
    const told: unknown = JSON.parse(body);
    const mine = typeof told === "object" && told !== null && "proof" in told && told.proof === proof(key, question);
    return mine ? { ok: true, trusted } : { ok: false, why: "another server answers there" };
  } catch (error) {
    if (error instanceof SyntaxError) return { ok: false, why: "another server answers there" };
    const { code, message } = error as NodeJS.ErrnoException;
    return { ok: false, why: code ?? message };
  }
}

function get(address: string): Promise<{ status: number; body: string; trusted: boolean }> {
  return new Promise((resolve, reject) => {
    const url = new URL(address);
    const secure = url.protocol === "https:";
    // The certificate is judged by who shows it to people; here it is asked who answers.
    const options = { agent: false, headers: { accept: "application/json" }, timeout: patienceMs };
    const asked = secure ? secureRequest(url, { ...options, rejectUnauthorized: false }) : plainRequest(url, options);
    asked.once("response", (answer: IncomingMessage) => {
      const trusted = !secure || (answer.socket as unknown as { authorized: boolean }).authorized;
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > mostAnswer) asked.destroy(new SyntaxError("too long"));
        else chunks.push(chunk);
      });
      answer.once("end", () =>
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString(), trusted }),
      );
      answer.once("error", reject);
    });
    asked.once("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.once("error", reject);
    asked.end();
  });
}
