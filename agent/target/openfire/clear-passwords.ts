/**
 * Passwords that the store holds in clear, for an Openfire, which takes nothing else: in the memory of this process,
 * by the keys that were made from them, and only when that is the target.
 */
import { type CredentialsText, canonicalCredentials } from "../../../xmpp-core/control/contract.ts";

export interface ClearPasswords {
  /** The store has shown a password and the keys that stand for it. */
  heard(keys: CredentialsText, password: string): void;
  of(keys: CredentialsText): string | undefined;
}

/** `wanted` false remembers nothing. */
export function clearPasswords(wanted: boolean): ClearPasswords {
  const known = new Map<string, string>();
  return {
    heard(keys, password) {
      if (wanted) known.set(canonicalCredentials(keys), password);
    },
    of: (keys) => known.get(canonicalCredentials(keys)),
  };
}
