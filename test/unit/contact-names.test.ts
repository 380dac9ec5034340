import { expect, test } from "vitest";
import { contactName, contactNames } from "../../xmpp-core/modules/shared-groups/contact-names.ts";
import { readText } from "../../xmpp-core/properties/text-schema.ts";
import type { Account } from "../../xmpp-core/routing/accounts.ts";

const person = (fields: Record<string, string>, displayName?: string) =>
  ({ name: "olsen", displayName, card: { hash: "", fields, photo: undefined } }) as unknown as Account;

test.each([
  ["{name}", {}, "Ole Olsen", "Ole Olsen"],
  ["{name}", {}, undefined, "olsen"],
  ["{name}[ ({phone})]", { phone: "42" }, "Ole Olsen", "Ole Olsen (42)"],
  ["{name}[ ({phone})]", {}, "Ole Olsen", "Ole Olsen"],
  ["[{department}: ]{name}[, {title}[]]", {}, "Ole", undefined],
  ["[{department}: ]{name}[, {title}]", { department: "Sales" }, "Ole", "Sales: Ole"],
  ["[{phone}/{mobile} ]{name}", { phone: "42" }, "Ole", "Ole"],
  ["{name} {phone}", {}, "Ole", "Ole"],
])("%s of %j, %s", (pattern, fields, displayName, shown) => {
  if (shown === undefined) return expect(readText(contactNames.schema, pattern)).toBeUndefined();
  expect(readText(contactNames.schema, pattern)).toBeDefined();
  expect(contactName(pattern, person(fields, displayName))).toBe(shown);
});

test.each(["", "Ole", "{phone}", "[{name}]", "{name", "{name}]", "{__proto__}{name}", "{NAME}", "x".repeat(300)])(
  "%j is refused",
  (pattern) => {
    expect(readText(contactNames.schema, pattern)).toBeUndefined();
  },
);
