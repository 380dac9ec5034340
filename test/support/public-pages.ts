/** Pages of the ports for browsers, with any Host header and over a certificate that nobody trusts. */
import type { IncomingHttpHeaders } from "node:http";
import { request } from "node:https";

export interface FetchedPage {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export function fetchPage(
  port: number,
  path: string,
  headers: Record<string, string | string[]> = {},
  method = "GET",
): Promise<FetchedPage> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port, path, method, headers, agent: false, rejectUnauthorized: false },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.once("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
        answer.once("error", reject);
      },
    );
    asked.once("error", reject);
    asked.end();
  });
}
