import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { imageType } from "../../routing/account-cards.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { Photo } from "../personal-points.ts";

/** The id of a picture in XEP-0084 and XEP-0153. */
export function photoHash({ data }: Photo): string {
  return createHash("sha1").update(data).digest("hex");
}

/** The picture in a `<vCard/>`; undefined: none, or one that lies elsewhere. */
export function photoIn(card: Element): Photo | undefined {
  const photo = card.getChild("PHOTO", ns.vcard);
  const data = Buffer.from(photo?.getChild("BINVAL", ns.vcard)?.getText() ?? "", "base64");
  if (photo === undefined || data.length === 0) return undefined;
  const type = photo.getChild("TYPE", ns.vcard)?.getText().trim() ?? "";
  return { type: /^image\/[\w.+-]+$/.test(type) ? type : (imageType(data) ?? "image/png"), data };
}

export function photoElement({ type, data }: Photo): Xml {
  return x("PHOTO", {}, x("TYPE", {}, text(type)), x("BINVAL", {}, text(data.toString("base64"))));
}

/** Width and height of a PNG or GIF, whose headers say so. */
export function sizeOf({ data }: Photo): { width: number; height: number } | undefined {
  const type = imageType(data);
  if (type === "image/png" && data.length >= 24) return { width: data.readUInt32BE(16), height: data.readUInt32BE(20) };
  if (type === "image/gif" && data.length >= 10) return { width: data.readUInt16LE(6), height: data.readUInt16LE(8) };
  return undefined;
}
