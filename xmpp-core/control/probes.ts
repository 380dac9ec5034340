/** Throw-away accounts for verification: in memory only, invisible, without rights. docs/architecture.md "A setting's way". */
import { deriveCredentials, formatCredentials } from "../auth/keys.ts";
import { derivationPool } from "../auth/pool.ts";
import { scramIterations } from "../auth/properties.ts";
import type { Account } from "../routing/accounts.ts";
import type { Answer } from "./contract.ts";
import type { ControlParts } from "./parts.ts";

export interface Probes {
  open(): Promise<Answer<"probe-open">>;
  close(name: string): void;
  /** The agent is gone: nobody will close them. */
  closeAll(): void;
}

export function probes(parts: ControlParts): Probes {
  const { accounts, names, random, properties, sessions } = parts;
  const open = new Map<string, Account>();
  const pool = derivationPool();

  function close(name: string): void {
    const account = open.get(name);
    if (account === undefined) return;
    open.delete(name);
    for (const session of [...account.sessions]) {
      if (session.carrier !== undefined) session.carrier.end("not-authorized", "The verification is over.");
      else sessions.end(session, "ended");
    }
    accounts.dropProbe(account);
  }

  return {
    async open() {
      const name = `firekeeper-probe-${random(8).toString("hex")}`;
      const password = random(24).toString("base64url");
      const keys = await deriveCredentials(password, { iterations: properties.get(scramIterations), random, pool });
      open.set(name, accounts.addProbe(names.primary, name, formatCredentials(keys)));
      return { name, password, domain: names.primary.name };
    },
    close,
    closeAll() {
      for (const name of [...open.keys()]) close(name);
    },
  };
}
