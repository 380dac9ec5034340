/** A password judged by a host over HTTP: one POST, answered by its status. docs/passwords.md. */
import { Agent } from "node:https";
import axios from "axios";
import { type Directory, directoryPlaces } from "./live.ts";
import { derivationPool } from "./pool.ts";

export interface HttpConfig {
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly timeoutMs: number;
  readonly ca: string[] | undefined;
}

/** Of the answer only the status counts. */
const longestAnswer = 64 * 1024;

export function httpDirectory({ url, token, timeoutMs, ca }: HttpConfig): Directory {
  if (url === undefined) throw new Error("firekeeper.auth.http.url is not set");
  const places = derivationPool(directoryPlaces);
  const httpsAgent = new Agent({ keepAlive: true, minVersion: "TLSv1.2", ...(ca === undefined ? {} : { ca }) });
  return {
    judge: (user, password) =>
      places.run(async () => {
        try {
          const { status } = await axios.post<unknown>(
            url,
            { user, password },
            {
              ...{ timeout: timeoutMs, signal: AbortSignal.timeout(timeoutMs), httpsAgent, proxy: false },
              ...{ maxRedirects: 0, maxContentLength: longestAnswer, validateStatus: () => true },
              headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
            },
          );
          if (status === 200 || status === 204) return true;
          if (status === 401 || status === 403) return false;
          throw new Error(`it answered with status ${status}`);
        } catch (error) {
          // An error of axios carries the request, and with it the password.
          if (axios.isAxiosError(error)) throw new Error(error.code ?? "it cannot be reached");
          throw error;
        }
      }),
    close: async () => httpsAgent.destroy(),
  };
}
