/** A thread that opens one P12 file and ends. See pkcs12-thread.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { CodedError } from "../errors.ts";
import { readPkcs12 } from "./pkcs12.ts";

export interface ToOpen {
  readonly bytes: Uint8Array;
  readonly password: string | undefined;
  readonly file: string;
}

export type OpenedPkcs12 =
  | { readonly is: "open"; readonly chain: string; readonly key: string }
  | {
      readonly is: "refused";
      readonly code: string;
      readonly message: string;
      readonly fields: CodedError["fields"];
      readonly hint: string | undefined;
    };

const { bytes, password, file } = workerData as ToOpen;

readPkcs12(Buffer.from(bytes), password, file)
  .then(
    (opened): OpenedPkcs12 => ({ is: "open", ...opened }),
    (error: unknown): OpenedPkcs12 => {
      if (!(error instanceof CodedError)) throw error;
      const { code, message, fields, hint } = error;
      return { is: "refused", code, message, fields, hint };
    },
  )
  .then((answer) => parentPort?.postMessage(answer));
