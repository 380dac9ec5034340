/** A host may keep a password for chat apart from the one for everything else: then only that one is for us. docs/passwords.md. */
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import type { PasswordSource } from "./host-store.ts";

export interface GivenPasswords {
  readonly password?: string | undefined;
  readonly credentials?: CredentialsText | undefined;
  readonly passwordHash?: string | undefined;
  readonly passwordFrom?: PasswordSource | undefined;
  readonly chatPassword?: string | undefined;
  readonly chatCredentials?: CredentialsText | undefined;
  readonly chatPasswordHash?: string | undefined;
}

/** The fields of a user that are a password for chat alone. */
export const chatFields = ["chatPassword", "chatCredentials", "chatPasswordHash"] as const;

/** The user with one password: that for chat, where there is one. An empty text is none. */
export function withOnePassword<T extends GivenPasswords>(user: T): Omit<T, (typeof chatFields)[number]> {
  const { chatPassword, chatCredentials, chatPasswordHash, ...rest } = user;
  const hasKeys = Object.values(chatCredentials ?? {}).some((keys) => keys !== undefined && keys !== "");
  if (!chatPassword && !hasKeys && !chatPasswordHash) return rest;
  const { password: _p, credentials: _c, passwordHash: _h, passwordFrom: _f, ...person } = rest;
  const chat = {
    ...(chatPassword ? { password: chatPassword } : {}),
    ...(hasKeys && chatCredentials ? { credentials: chatCredentials } : {}),
    ...(chatPasswordHash ? { passwordHash: chatPasswordHash } : {}),
  };
  return { ...person, ...chat } as Omit<T, (typeof chatFields)[number]>;
}
