import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { wantedAccounts } from "../../agent/desired/accounts.ts";
import type { Notice } from "../../agent/errors.ts";
import { parseHostFile } from "../../agent/store/host-file.ts";
import { recordsOf } from "../../agent/store/records.ts";
import { contentHash } from "../../agent/store/snapshot.ts";
import { withPhotos } from "../../agent/store/user-card.ts";

// seeds B24
const yaml = (card: string): string => `settings:\n  sys.xmpp.domain: localhost\nusers:\n  - name: alice\n${card}...\n`;

test("a user's card stands in host.yaml, with its picture in a file beside it or in base64", async () => {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-card-"));
  try {
    const picture = Buffer.from("89504e470d0a1a0a", "hex");
    await writeFile(join(home, "alice.png"), picture);
    const text = yaml("    card:\n      phone: +33 1\n      title: ''\n      photo: alice.png\n");
    const { users } = parseHostFile(text, "host.yaml");
    expect(users[0]?.card).toEqual({ phone: "+33 1", photo: "alice.png" });
    const warnings: Notice[] = [];
    const read = await withPhotos(users, join(home, "host.yaml"), warnings);
    expect(read[0]?.card).toEqual({ phone: "+33 1", photo: picture.toString("base64") });
    const none = await withPhotos([{ name: "bob", card: { photo: "none.png" } }], join(home, "host.yaml"), warnings);
    expect(none[0]?.card).toEqual({});
    expect(warnings.map(({ code }) => code)).toEqual(["store/photo"]);
  } finally {
    await rm(home, { recursive: true });
  }
});

test("a slip in a card is named, as everywhere in the file", () => {
  expect(() => parseHostFile(yaml("    card: { fone: 1 }\n"), "host.yaml")).toThrow(/fone is no key of a card/);
});

test("a card of a record counts for the hash, and is asked of the server without what is empty", () => {
  const host = (card: unknown) => recordsOf({ users: [{ name: "alice", credentials: null, card }] }, "the host");
  const one = host({ phone: 12, organisation: "", photo: null });
  expect(one.users[0]?.card).toEqual({ phone: "12" });
  expect(host({}).users[0]).not.toHaveProperty("card");
  const hash = (records: typeof one) => contentHash({ ...records, teams: [], users: records.users });
  expect(hash(one)).not.toBe(hash(host({ phone: 13 })));
  expect(wantedAccounts(one.users).wanted[0]?.card).toEqual({ phone: "12" });
});

test.each([
  ["no base64", "###", undefined],
  ["too large", Buffer.alloc(65 * 1024).toString("base64"), undefined],
  ["a data URI", "data:image/png;base64,iVBORw0KGgo=", "iVBORw0KGgo="],
])("a picture that is %s: the rest of the card is taken", (_, photo, taken) => {
  const { wanted, notices } = wantedAccounts([{ name: "alice", enabled: true, card: { title: "T", photo } }]);
  expect(wanted[0]?.card).toEqual({ title: "T", ...(taken && { photo: taken }) });
  expect(notices.map(({ code }) => code)).toEqual(taken === undefined ? ["accounts/photo"] : []);
});
