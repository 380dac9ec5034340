import { explainJid, prepareLocal } from "../jid/jid.ts";
import type { NameAnswer } from "./contract.ts";

/** The server's form of an account's name. */
export function localName(given: string): NameAnswer {
  const text = given.trim();
  const name = text === "" ? undefined : prepareLocal(text);
  if (name !== undefined) return { given, name };
  const why = text === "" ? "the name is empty" : (explainJid(`${text}@localhost`) ?? "it holds @ or /");
  return {
    given,
    name: null,
    rejected: {
      code: "accounts/name",
      rule: "a name that can stand before the @ of an address",
      hint: `${why.charAt(0).toUpperCase()}${why.slice(1)}.`,
    },
  };
}
