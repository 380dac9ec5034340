import type { Account } from "../../routing/accounts.ts";
import type { Card, Entry, FieldName } from "./card.ts";

/** What the host says of a person, as fields of a card: those are the host's alone, whatever the person writes there. */
export function hostFields({ origin, displayName, email, card }: Account): Card {
  const { phone, mobile, organisation, department, title, url } = card?.fields ?? {};
  const fields = new Map<FieldName, Entry[]>();
  const add = (name: FieldName, value: string | undefined, uses: readonly string[] = []): void => {
    if (value !== undefined && value !== "") fields.set(name, [...(fields.get(name) ?? []), { uses, parts: [value] }]);
  };
  if (origin === "host") {
    add("fn", displayName);
    add("email", email);
  }
  add("tel", phone, ["work", "voice"]);
  add("tel", mobile, ["work", "cell"]);
  if (organisation !== undefined || department !== undefined)
    fields.set("org", [{ uses: [], parts: [organisation ?? "", ...(department === undefined ? [] : [department])] }]);
  add("title", title);
  add("url", url);
  return fields;
}

/** What an account that was made here says of itself, for whoever has written no card. */
export function ownFacts({ displayName, email }: Account): Card {
  const fields = new Map<FieldName, Entry[]>();
  if (displayName !== undefined) fields.set("fn", [{ uses: [], parts: [displayName] }]);
  if (email !== undefined) fields.set("email", [{ uses: [], parts: [email] }]);
  return fields;
}
