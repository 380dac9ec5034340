/** The contact card of a user, as hosts write it. docs/settings.md */
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { type HostCardWanted, hostCardFields } from "../../xmpp-core/control/contract.ts";
import { explain, type Notice } from "../errors.ts";

/** Pictures are sent to the server with the account and kept by clients; more than this is none to look at in a list. */
const largestPhoto = 64 * 1024;

/** A card as it stands: `photo` is base64, with or without `data:…;base64,` in front, or in a file store a path. */
export type CardRecord = Readonly<Record<string, string | undefined>>;

const text = z.string("text");
export const cardShape = z.object({
  phone: text.optional(),
  mobile: text.optional(),
  organisation: text.optional(),
  department: text.optional(),
  title: text.optional(),
  url: text.optional(),
  photo: text.optional(),
});

/** Without what is empty; undefined: nothing is left. */
export function givenCard(card: CardRecord | undefined): HostCardWanted | undefined {
  const given = hostCardFields.flatMap((field) => {
    const value = card?.[field]?.trim();
    return value ? [[field, value] as const] : [];
  });
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

/** The card as the server takes it, and what is to say of its picture. */
export function wantedCard(name: string, card: HostCardWanted): { card: HostCardWanted | undefined; notice?: Notice } {
  const { photo, ...rest } = card;
  if (photo === undefined) return { card };
  const base64 = photo.replace(/^data:[\w/+.-]+;base64,/, "").replace(/\s/g, "");
  const bad = /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? undefined : "it is no base64";
  const reason =
    bad ?? (base64.length * 0.75 > largestPhoto ? `it has more than ${largestPhoto / 1024} KiB` : undefined);
  if (reason === undefined) return { card: { ...rest, photo: base64 } };
  return {
    card: givenCard(rest),
    notice: {
      code: "accounts/photo",
      message: `The picture of ${name} is not taken: ${reason}.`,
      hint: `A PNG, JPEG, GIF or WebP of at most ${largestPhoto / 1024} KiB, in base64.`,
    },
  };
}

const isPath = (photo: string): boolean => /^[^\n]{1,500}\.(?:png|jpe?g|gif|webp)$/i.test(photo);

/** Puts the pictures in place of their paths, which are relative to the host file; what cannot be read is left out. */
export async function withPhotos<User extends { readonly name: string; readonly card?: HostCardWanted }>(
  users: readonly User[],
  file: string,
  warnings: Notice[],
): Promise<readonly User[]> {
  if (!users.some(({ card }) => card?.photo !== undefined && isPath(card.photo))) return users;
  const all: User[] = [];
  for (const user of users) {
    const { photo, ...rest } = user.card ?? {};
    if (photo === undefined || !isPath(photo)) {
      all.push(user);
      continue;
    }
    const read = await photoAt(resolve(dirname(file), photo));
    if (typeof read !== "string") all.push({ ...user, card: { ...rest, photo: read.toString("base64") } });
    else {
      warnings.push({
        code: "store/photo",
        message: `The picture of ${user.name} cannot be read: ${read}`,
        hint: `${photo} is meant to be a picture beside ${file}, or base64.`,
      });
      all.push({ ...user, card: rest });
    }
  }
  return all;
}

/** The picture, or why there is none. */
async function photoAt(path: string): Promise<Buffer | string> {
  try {
    const { size } = await stat(path);
    return size > largestPhoto ? `${path} has more than ${largestPhoto / 1024} KiB.` : await readFile(path);
  } catch (error) {
    return explain(error);
  }
}
