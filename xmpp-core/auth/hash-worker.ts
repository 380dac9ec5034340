/** A thread that checks the hashes which only JavaScript can compute here. See hash-check.ts. */
import { parentPort } from "node:worker_threads";
import { compareSync } from "bcryptjs";
import { verify } from "unixcrypt";

export interface ToCheck {
  readonly id: number;
  readonly is: "bcrypt" | "sha-crypt";
  readonly text: string;
  readonly password: string;
}

export interface Checked {
  readonly id: number;
  readonly right: boolean;
}

parentPort?.on("message", ({ id, is, text, password }: ToCheck) => {
  let right = false;
  try {
    right = is === "bcrypt" ? compareSync(password, text) : verify(password, text);
  } catch {
    // A text that passed readHash and cannot be computed belongs to no password.
  }
  parentPort?.postMessage({ id, right } satisfies Checked);
});
