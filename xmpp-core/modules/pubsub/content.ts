import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { rawXml, serialise, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { type Entities, shownItemId, type Who } from "./entities.ts";

/** An item as it is kept and told. */
export interface Item {
  /** As it is stored. */
  readonly id: string;
  readonly publisher: Who;
  /** ms since 1970. */
  readonly published: number;
  readonly epoch: number;
  /** Canonical, default namespace none; empty: no payload. */
  readonly payload: Buffer;
}

/** The one payload element of an item, as it is stored. "several": more than one; "bare": in no namespace. */
export function payloadOf(item: Element): Buffer | "several" | "bare" {
  const [payload, second] = item.getChildElements();
  if (payload === undefined) return Buffer.alloc(0);
  if (second !== undefined) return "several";
  if (payload.attrs.xmlns === "" || (payload.getNS() ?? "") === "") return "bare";
  return Buffer.from(serialise(payload, ""));
}

const around = Buffer.from(`<pubsub xmlns="${ns.pubsub}"><items><item>`);
const behind = Buffer.from("</item></items></pubsub>");

/** The payload as `view` sees it: addresses in declared places follow (routing/views.ts), all else is as it was written. */
export function shownPayload(core: Core, { payload, epoch }: Pick<Item, "payload" | "epoch">, view: string): Buffer {
  const from = core.names.epochName(epoch);
  if (from === view || payload.length === 0) return payload;
  const whole = Buffer.concat([around, payload, behind]);
  const shown = core.router.views.payload(whole, from, view);
  return shown === whole ? payload : shown.subarray(around.length, shown.length - behind.length);
}

/** `<item/>`; `full` false leaves the payload out. It takes the namespace around it. */
export function itemElement(core: Core, entities: Entities, item: Item, view: string, full = true): Xml {
  const publisher = item.publisher === "" ? undefined : entities.address(item.publisher, view);
  return x(
    "item",
    { id: shownItemId(core, item.id, view), publisher },
    full && item.payload.length > 0 && rawXml(shownPayload(core, item, view)),
  );
}
