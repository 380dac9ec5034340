/** Passwords in clear in the text of `host.yaml`: replaced by keys, or emptied. */
import { type Document, isMap, isScalar, Scalar } from "yaml";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { chatFields } from "./chat-password.ts";
import { pairOf, section, setCredentials, withoutAbsent } from "./host-document.ts";
import { type HostFileMemo, hostFileMemo, parseHostFile } from "./host-file.ts";
import { editByPieces, type Work } from "./host-file-splice.ts";
import { documentText, type HostFile, hostDocument } from "./host-file-text.ts";
import { StoreError } from "./host-store.ts";

/** The same file with passwords in clear replaced by keys, everything else byte for byte where the file is written plainly. */
export function replacePasswords(
  text: string,
  file: string,
  keys: ReadonlyMap<string, CredentialsText>,
  memo: HostFileMemo = hostFileMemo(),
): string {
  if (keys.size === 0) return text;
  const pieced = inPieces(
    { text, file, memo },
    (name) => keys.has(name),
    (document) => setAll(document, keys),
    (item) => splicePasswords(item, file, keys),
  );
  if (pieced !== undefined && keysStand(pieced, file, keys, memo)) return pieced;
  const spliced = splicePasswords(text, file, keys);
  if (spliced !== undefined && keysStand(spliced, file, keys, memo)) return spliced;
  const { document } = hostDocument(text, file);
  setAll(document, keys);
  const rewritten = documentText(document, text);
  if (!keysStand(rewritten, file, keys, memo))
    throw new StoreError("store/cannot-rewrite", `${file}: passwords could not be replaced by keys.`, {
      hint: "Set them by firekeeper users passwd.",
    });
  return rewritten;
}

/** The same file with every password in clear emptied, for a copy that must not hold any. */
export function blankPasswords(text: string, file: string, memo: HostFileMemo = hostFileMemo()): string {
  const pieced = inPieces({ text, file, memo }, () => true, blank);
  if (pieced !== undefined) return pieced;
  const { document } = hostDocument(text, file);
  blank(document);
  return documentText(document, text);
}

function blank(document: Document): void {
  for (const item of section(document, "users").items) {
    if (!isMap(item)) continue;
    for (const key of ["password", "chatPassword"]) {
      if (!item.has(key)) continue;
      const empty = new Scalar("");
      empty.type = "QUOTE_DOUBLE";
      item.set(key, empty);
    }
  }
}

/** Works on the items of those with a password in clear; `inText` where the item's own text will do. */
function inPieces(
  { text, file, memo }: { text: string; file: string; memo: HostFileMemo },
  wanted: (name: string) => boolean,
  work: (document: Document) => void,
  inText: (item: string) => string | undefined = () => undefined,
): string | undefined {
  const { users }: HostFile = parseHostFile(text, file, memo);
  const works = users.flatMap(({ name, password, otherPassword }, at): Work<void>[] => {
    if ((password === undefined && !otherPassword) || !wanted(name)) return [];
    const inPlace = (content: string) => {
      const found = inText(`users:\n${content}`);
      return found === undefined ? undefined : { text: found.slice("users:\n".length), made: undefined };
    };
    return [{ on: "users", do: "change", at, work, inPlace }];
  });
  return editByPieces(text, file, works, memo)?.text;
}

/** Of those who stand in the document. */
function setAll(document: Document, keys: ReadonlyMap<string, CredentialsText>): void {
  for (const item of section(document, "users").items) {
    const credentials = isMap(item) ? keys.get(String(item.get("name"))) : undefined;
    if (isMap(item) && credentials) setCredentials(document, item, credentials);
  }
}

/** Undefined where a password is written in a way that only a rewrite of the document can replace. */
function splicePasswords(text: string, file: string, keys: ReadonlyMap<string, CredentialsText>): string | undefined {
  const { document, lines } = hostDocument(text, file);
  const parts: string[] = [];
  let from = 0;
  for (const item of section(document, "users").items) {
    if (!isMap(item)) return undefined;
    const credentials = keys.get(String(item.get("name")));
    if (!credentials) continue;
    if (chatFields.some((key) => item.has(key))) return undefined;
    const pair = pairOf(item, "password");
    const [start, end] = [isScalar(pair?.key) && pair.key.range?.[0], isScalar(pair?.value) && pair.value.range?.[1]];
    const plain = isScalar(pair?.value) && !pair.value.anchor && !String(pair.value.type).startsWith("BLOCK");
    if (!plain || typeof start !== "number" || typeof end !== "number" || item.has("credentials")) return undefined;
    const entries = Object.entries(withoutAbsent(credentials)).map(([hash, value]) => `${hash}: ${value}`);
    const indent = `\n${" ".repeat(lines.linePos(start).col + 1)}`;
    const value = item.flow ? ` { ${entries.join(", ")} }` : entries.map((entry) => `${indent}${entry}`).join("");
    parts.push(
      text.slice(from, start),
      `credentials:${text.includes("\r\n") ? value.replaceAll("\n", "\r\n") : value}`,
    );
    from = end;
  }
  return parts.join("") + text.slice(from);
}

function keysStand(
  text: string,
  file: string,
  keys: ReadonlyMap<string, CredentialsText>,
  memo: HostFileMemo,
): boolean {
  const users = new Map(parseHostFile(text, file, memo).users.map((user) => [user.name, user]));
  return [...keys].every(([name, credentials]) => {
    const user = users.get(name);
    return user?.password === undefined && user?.credentials?.sha256 === credentials.sha256;
  });
}
