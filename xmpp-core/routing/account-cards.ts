/** What the host says of a person beside name and mail address: fields of his contact card. docs/settings.md */
import { createHash } from "node:crypto";
import { z } from "zod";
import { read, type Write, write } from "../storage/statement.ts";

/** Fields of a card that the host gives; absent: it says nothing of it. */
export interface HostCardFields {
  readonly phone?: string | undefined;
  readonly mobile?: string | undefined;
  readonly organisation?: string | undefined;
  readonly department?: string | undefined;
  readonly title?: string | undefined;
  readonly url?: string | undefined;
}

/** As it is kept in memory; the picture itself stays on disk. */
export interface HostCard {
  /** Of the whole card as the host gave it. */
  readonly hash: string;
  readonly fields: HostCardFields;
  readonly photo: { readonly type: string; readonly sha1: string } | undefined;
}

export const cardsMigration = {
  name: "0056_host-card",
  sql: `
    CREATE TABLE host_card (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, hash TEXT NOT NULL, fields TEXT NOT NULL,
      photo_type TEXT, photo_sha1 TEXT, photo BLOB
    );`,
};

interface CardRow {
  readonly account: number;
  readonly hash: string;
  readonly fields: string;
  readonly photo_type: string | null;
  readonly photo_sha1: string | null;
}
export const allCards = read<[], CardRow>("SELECT account, hash, fields, photo_type, photo_sha1 FROM host_card");
const putCard = write<
  [account: number, hash: string, fields: string, type: string | null, sha1: string | null, photo: Buffer | null]
>("INSERT OR REPLACE INTO host_card (account, hash, fields, photo_type, photo_sha1, photo) VALUES (?, ?, ?, ?, ?, ?)");
const dropCard = write<[account: number]>("DELETE FROM host_card WHERE account = ?");
export const photoOfCard = read<[account: number], { photo: Uint8Array | null; photo_type: string | null }>(
  "SELECT photo, photo_type FROM host_card WHERE account = ?",
);

const fieldsOf = z.record(z.string(), z.string());

export function cardOfRow({ hash, fields, photo_type: type, photo_sha1: sha1 }: CardRow): HostCard {
  const photo = type === null || sha1 === null ? undefined : { type, sha1 };
  return { hash, fields: fieldsOf.parse(JSON.parse(fields)), photo };
}

/** The kinds of pictures that clients show, by how they begin. */
const signatures: readonly (readonly [type: string, begins: RegExp])[] = [
  ["image/png", /^\x89PNG\r\n\x1a\n/],
  ["image/jpeg", /^\xff\xd8\xff/],
  ["image/gif", /^GIF8[79]a/],
  ["image/webp", /^RIFF.{4}WEBP/s],
];

/** The media type of a picture; undefined: none that clients show. */
export function imageType(data: Uint8Array): string | undefined {
  const start = Buffer.from(data.subarray(0, 16)).toString("latin1");
  return signatures.find(([, begins]) => begins.test(start))?.[0];
}

/** A card as it will be in memory, and the row; undefined: the host says nothing any more. `hash` stands for all of it. */
export function cardRows(
  account: number,
  given: { readonly hash: string; readonly fields: HostCardFields; readonly photo: Buffer | undefined } | undefined,
): { card: HostCard | undefined; writes: Write[] } {
  if (given === undefined) return { card: undefined, writes: [dropCard.with(account)] };
  const { hash, fields, photo } = given;
  const type = photo && imageType(photo);
  const sha1 = photo && createHash("sha1").update(photo).digest("hex");
  const kept = type === undefined || sha1 === undefined ? undefined : { type, sha1 };
  return {
    card: { hash, fields, photo: kept },
    writes: [
      putCard.with(account, hash, JSON.stringify(fields), type ?? null, sha1 ?? null, kept ? (photo ?? null) : null),
    ],
  };
}
