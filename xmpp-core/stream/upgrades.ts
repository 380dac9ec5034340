import type { Element } from "ltx";
import { decodeBase64 } from "../auth/exchange.ts";
import { formatKeys, type HashName, hashes, keysOfSalted, saltBytes } from "../auth/keys.ts";
import { saslMechanisms, scramIterations } from "../auth/properties.ts";
import { ns } from "../formats/namespaces.ts";
import type { Account } from "../routing/accounts.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import type { StreamParts } from "./parts.ts";
import { taskOf } from "./sasl2-request.ts";

/** What a client does for its account between its proof and `<success/>`: one task after the other. XEP-0480 */
export interface Upgrades {
  readonly account: Account;
  readonly mechanism: string;
  /** The password that was proved is no longer the account's. */
  readonly stale: boolean;
  /** `<continue/>` with the first task. */
  offer(data: Buffer | undefined): Xml;
  /** `<next/>` or `<task-data/>`; undefined: it does not belong here. */
  take(element: Element): Promise<{ is: "answer"; answer: Xml } | { is: "done" } | undefined>;
}

/** RFC 7677 §4, and the least that XEP-0480's schema allows. */
const leastIterations = 4096;

/**
 * Keys for hashes that the account lacks: beside a password that the host gave as keys of its own. Only for who has just
 * proved the password itself, bound to this connection: whoever sat between could keep what the client sends (§5).
 */
export function upgrades(
  parts: StreamParts,
  { account, mechanism, wanted }: { account: Account; mechanism: string; wanted: readonly HashName[] },
): Upgrades | undefined {
  const allowed = parts.properties.get(saslMechanisms);
  const lacks = account.password?.lacks ?? [];
  const bound = mechanism.startsWith("SCRAM-") && mechanism.endsWith("-PLUS");
  const todo =
    !bound || account.probe
      ? []
      : wanted.filter((hash) => lacks.includes(hash) && allowed.includes(hashes[hash].mechanism));
  let hash = todo.shift();
  if (hash === undefined) return undefined;
  let salt: Buffer | undefined;
  const proved = account.credentialsHash;
  const iterations = Math.max(leastIterations, parts.properties.get(scramIterations));
  const task = (name: HashName): Xml => x("tasks", {}, x("task", {}, text(taskOf(name))));

  async function keep(name: HashName, salted: Buffer, by: Buffer): Promise<void> {
    const keys = formatKeys(name, keysOfSalted(name, salted, { salt: by, iterations }));
    const { writes, enter } = parts.accounts.addKeys(account, name, keys, proved);
    try {
      await parts.storage.write(writes);
      enter();
    } catch {
      // The storage has reported it; the next login offers the task again.
    }
  }

  return {
    ...{ account, mechanism },
    get stale() {
      return account.credentialsHash !== proved;
    },
    offer: (data) =>
      x(
        "continue",
        { xmlns: ns.sasl2 },
        data && x("additional-data", {}, text(data.toString("base64"))),
        task(hash as HashName),
      ),
    async take(element) {
      if (hash === undefined) return undefined;
      if (element.name === "next" && salt === undefined && element.attrs.task === taskOf(hash)) {
        salt = parts.random(saltBytes);
        const asked = x("salt", { xmlns: ns.scramUpgrade, iterations }, text(salt.toString("base64")));
        return { is: "answer", answer: x("task-data", { xmlns: ns.sasl2 }, asked) };
      }
      const given = element.name === "task-data" ? element.getChildText("hash", ns.scramUpgrade) : null;
      const salted = given === null ? undefined : decodeBase64(given.trim());
      if (salt === undefined || salted?.length !== hashes[hash].bytes) return undefined;
      await keep(hash, salted, salt);
      salt = undefined;
      hash = todo.shift();
      return hash === undefined
        ? { is: "done" }
        : { is: "answer", answer: x("continue", { xmlns: ns.sasl2 }, task(hash)) };
    },
  };
}
