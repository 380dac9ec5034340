import { duplexPair } from "node:stream";
import { type GateOptions, Gate as GateProcess } from "../gate/gate.ts";
import { connectGate } from "./core-link.ts";
import type { Gate } from "./gate.ts";

export interface InProcessGate {
  readonly gate: Gate;
  /** Another core on the same gate, after the one before has handed over, or has gone. */
  next(): Promise<Gate>;
  close(): void;
}

/** Gate and core in one process over a pair of streams: for tests, with the same code on both sides. */
export async function inProcessGate(options: Partial<GateOptions> = {}): Promise<InProcessGate> {
  const process = new GateProcess({ report: () => undefined, ...options });
  const next = () => {
    const [near, far] = duplexPair();
    process.attach(near);
    return connectGate(far);
  };
  return { gate: await next(), next, close: () => process.close() };
}
