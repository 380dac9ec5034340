/** Writing a password back: what a user changed in a client, in the form the host keeps, by a statement of the host's own. */
import { randomBytes } from "node:crypto";
import bcrypt from "bcryptjs";
import { encrypt } from "unixcrypt";
import { deriveCredentials } from "../../credentials.ts";
import { StoreError } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";

export const passwordForms = ["bcrypt", "sha512-crypt", "scram", "clear"] as const;
export type PasswordForm = (typeof passwordForms)[number];

/** Parameters of each form besides `:name`. */
const parameters: Record<PasswordForm, readonly string[]> = {
  bcrypt: ["hash"],
  "sha512-crypt": ["hash"],
  scram: ["sha1", "sha256", "sha512"],
  clear: ["password"],
};

const bcryptCost = 11;
/** What bcrypt reads of a password; the rest would count for nothing. */
const bcryptBytes = 72;

export interface BoundStatement {
  /** With the database's own placeholders. */
  readonly text: string;
  /** Names of the values, in order. */
  readonly names: readonly string[];
}

/**
 * `UPDATE u SET p = :hash WHERE n = :name` with its names replaced by placeholders. Quoted texts, quoted names, comments
 * and `::` casts are left alone. Throws `store/config` for a name that means nothing and for a statement without `:name`.
 */
export function bindNames(query: string, form: PasswordForm, placeholder: (index: number) => string): BoundStatement {
  const known = ["name", ...parameters[form]];
  const names: string[] = [];
  const skipped = /'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|\/\*[\s\S]*?\*\/|::|:([A-Za-z_]\w*)/g;
  const text = query.replace(skipped, (whole: string, name: string | undefined) => {
    if (name === undefined) return whole;
    if (!known.includes(name)) {
      const meant = nearestName(name, known);
      const hint = meant
        ? `Did you mean :${meant}?`
        : `With hash: ${form} it knows ${known.map((one) => `:${one}`).join(", ")}.`;
      throw new StoreError("store/config", `writePassword.query has :${name}, which means nothing.`, { hint });
    }
    names.push(name);
    return placeholder(names.length);
  });
  for (const needed of ["name", ...(form === "scram" ? [] : parameters[form])]) {
    if (!names.includes(needed))
      throw new StoreError("store/config", `writePassword.query must have :${needed}.`, {
        hint: "UPDATE xmpp_user SET password_hash = :hash WHERE name = :name",
      });
  }
  return { text, names };
}

/** The values of all names of a form. Throws `credentials/unusable-password`, never with the password. */
export async function passwordValues(form: PasswordForm, password: string): Promise<Record<string, string>> {
  switch (form) {
    case "clear":
      return { password };
    case "scram":
      return await deriveCredentials(password);
    case "sha512-crypt":
      return { hash: encrypt(password, `$6$${saltText()}`) };
    case "bcrypt":
      if (Buffer.byteLength(password) > bcryptBytes)
        throw new StoreError(
          "credentials/unusable-password",
          `The password is longer than ${bcryptBytes} bytes, which the host cannot keep.`,
          {
            hint: "Choose a shorter one.",
          },
        );
      return { hash: await bcrypt.hash(password, bcryptCost) };
  }
}

/** 16 characters of the alphabet of crypt(3). */
function saltText(): string {
  const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return Array.from(randomBytes(16), (byte) => alphabet[byte % 64]).join("");
}
