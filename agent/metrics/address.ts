/** Where metrics are served: `127.0.0.1:9464`, `[::1]:9464`. */
import { isIP } from "node:net";

export interface MetricsAddress {
  readonly address: string;
  readonly port: number;
  /** As it was written. */
  readonly text: string;
}

/** Undefined if it is none. A name is none: it could come to mean more addresses than were meant. */
export function readMetricsAddress(text: string): MetricsAddress | undefined {
  const [, inner, plain, port = ""] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(text) ?? [];
  const address = inner ?? plain ?? "";
  const number = Number(port);
  if (isIP(address) !== (inner === undefined ? 4 : 6) || number < 1 || number > 65_535) return undefined;
  return { address, port: number, text };
}
