import { parseDate } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import { notStored, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { stored } from "../own-password.ts";
import { escapedName, mediaType, tidyName } from "./content.ts";
import { sign, tokenText } from "./credential.ts";
import type { Files } from "./files.ts";
import {
  allBytes,
  dayBytes,
  days,
  enabled,
  keepFreeBytes,
  maxFileSize,
  permanentBytes,
  profileBytes,
  uploadBase,
  uploadingComponents,
  userBytes,
} from "./properties.ts";
import { type Purpose, putSlot, usage } from "./tables.ts";

/** How long an upload may take to begin. XEP-0363 §9 */
export const slotMs = 300_000;
export const dayMs = 24 * 3600 * 1000;
/** Of one user at the same time; a program that sends many pictures asks for them one after the other. */
const mostOpen = 100;
/** What encryption adds to a file that has the largest size people are told of (AES-GCM's tag). */
const encryptionBytes = 16;

export interface Slots {
  /** A request of XEP-0363, or of its version before 0.3. */
  answer(request: OpenRequest): IqAnswer | Promise<IqAnswer>;
  /** A slot was filled: its owner may have room for another. */
  filled(): void;
}

interface Wanted {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly purpose: Purpose;
  readonly latest: number | null;
}

interface Owner {
  readonly account: Account | undefined;
  readonly component: string | undefined;
}

/** What is announced as the largest file; undefined: nothing bounds it but what a user may keep. */
export function largestFile({ properties }: Core): number | undefined {
  const bounds = [maxFileSize, userBytes, dayBytes, allBytes].map((one) => properties.get(one));
  const bounded = bounds.filter((bound) => bound !== -1);
  return bounded.length === 0 ? undefined : Math.min(...bounded);
}

export function slots(core: Core, files: Files, key: Buffer): Slots {
  const { clock, properties, storage } = core;
  /** One after the other: what one is granted counts when the next is looked at. */
  let last: Promise<unknown> = Promise.resolve();
  /** Until when owners have as many slots as they may: who floods is told without a look at the database. */
  const crowded = new Map<number | string, number>();
  let fillings = 0;

  function ownerOf({ session, place, from }: OpenRequest): Owner | undefined {
    if (session !== undefined) return { account: session.account, component: undefined };
    const asker = core.names.locate(from);
    if (asker.at !== "service" || place.at !== "service") return undefined;
    const mayUpload = properties.get(uploadingComponents).includes(asker.label);
    return mayUpload ? { account: undefined, component: asker.label } : undefined;
  }

  function answer(request: OpenRequest): IqAnswer | Promise<IqAnswer> {
    if (!properties.get(enabled)) return request.error(stanzaError("service-unavailable"));
    const owner = ownerOf(request);
    if (owner === undefined)
      return request.error(stanzaError("forbidden", { text: "Only users of this server may upload files here." }));
    const base = uploadBase(core, request.view);
    if (base === undefined)
      return request.error(
        stanzaError("service-unavailable", { text: "The ports by which files are uploaded are closed." }),
      );
    const wanted = read(request);
    if ("kind" in wanted) return request.error(wanted);
    const many = crowding(owner);
    if (many !== undefined) return no(request, owner, many);
    const given = last.then(() => grant(request, owner, wanted, base));
    last = given.catch(() => undefined);
    return given;
  }

  function read({ element }: OpenRequest): Wanted | StanzaError {
    const before = element.getNS() === ns.uploadBefore;
    const given = (name: string): string | undefined => {
      const value: unknown = before ? element.getChildText(name) : element.attrs[name];
      return typeof value === "string" ? value.trim() : undefined;
    };
    const name = tidyName(given("filename") ?? "");
    const size = given("size") ?? "";
    if (name === "" || !/^[0-9]{1,15}$/.test(size) || Number(size) === 0)
      return stanzaError("bad-request", {
        text: "A filename, and a size in bytes that is greater than 0, are needed.",
      });
    const typed = given("content-type") ?? "";
    const type = typed === "" ? "" : mediaType(typed);
    if (type === undefined) return stanzaError("bad-request", { text: "The content-type is none." });
    const purpose = purposeOf(
      element
        .getChildElements()
        .find((child) => child.getNS() === ns.uploadPurpose)
        ?.getName(),
    );
    if (purpose === undefined || (purpose === "profile" && properties.get(profileBytes) === 0))
      return stanzaError("not-acceptable", { text: "Files are not kept for this purpose here." });
    if (purpose === "permanent" && properties.get(permanentBytes) === 0)
      return stanzaError("not-acceptable", { text: "Files are not kept for ever here." });
    const wanted = { name, type, size: Number(size), purpose };
    if (purpose !== "ephemeral") return { ...wanted, latest: null };
    const until = parseDate(String(element.getChild("ephemeral", ns.uploadPurpose)?.attrs["expire-before"] ?? ""));
    if (until === undefined || until.getTime() <= clock.now())
      return stanzaError("bad-request", { text: "expire-before must be a date and time in the future." });
    return { ...wanted, latest: until.getTime() };
  }

  function tooLarge(most: number): StanzaError {
    const application = x("file-too-large", { xmlns: ns.upload }, x("max-file-size", {}, text(most)));
    return stanzaError("not-acceptable", {
      text: `The file is too large: at most ${most} bytes (${readable(most)}) are taken.`,
      application,
    });
  }

  function wait(why: string, at: number | undefined): StanzaError {
    const stamp = at === undefined ? undefined : new Date(at).toISOString();
    return stanzaError("resource-constraint", {
      text: why,
      ...(stamp !== undefined && { application: x("retry", { xmlns: ns.upload, stamp }) }),
    });
  }

  const manyOpen = (until: number): StanzaError => wait(`${mostOpen} uploads were asked for and not begun.`, until);

  function no(request: OpenRequest, owner: Owner, why: StanzaError): IqAnswer {
    core.report.uploadRefused({ by: owner.account?.name ?? owner.component ?? "", why: why.condition });
    return request.error(why);
  }

  function crowding(owner: Owner): StanzaError | undefined {
    const until = crowded.get(keyOf(owner)) ?? 0;
    return until > clock.now() ? manyOpen(until) : undefined;
  }

  /** Undefined: it fits. */
  async function refused(owner: Owner, wanted: Wanted): Promise<StanzaError | undefined> {
    const { account, component } = owner;
    const { size, purpose } = wanted;
    const largest = largestFile(core);
    if (largest !== undefined && size > largest + encryptionBytes) return tooLarge(largest);
    const ofPurpose = purpose === "profile" ? profileBytes : purpose === "permanent" ? permanentBytes : userBytes;
    const mine = properties.get(ofPurpose);
    if (mine !== -1 && size > mine + encryptionBytes) return tooLarge(mine);
    const now = clock.now();
    const since = now - dayMs;
    const before = fillings;
    const [used] = await storage.read(usage, since, since, account?.id ?? null, component ?? null);
    if (used === undefined) return undefined;
    if (used.open >= mostOpen) {
      const until = (used.firstOpen ?? now) + slotMs;
      if (fillings === before) crowded.set(keyOf(owner), until);
      return manyOpen(until);
    }
    const daily = properties.get(dayBytes);
    if (daily !== -1 && used.day + size > daily + encryptionBytes)
      return wait(`Only ${readable(daily)} may be uploaded in 24 hours.`, (used.firstOfDay ?? now) + dayMs);
    const kept = purpose === "profile" ? used.profile : purpose === "permanent" ? used.permanent : used.messages;
    if (mine !== -1 && kept + size > mine + encryptionBytes) {
      const keptDays = properties.get(days);
      const ages = ofPurpose === userBytes && keptDays > 0 && used.oldest !== null;
      return wait(
        `Your files would take more than ${readable(mine)}. Delete some that are no longer needed.`,
        ages ? (used.oldest ?? 0) + keptDays * dayMs : undefined,
      );
    }
    const all = properties.get(allBytes);
    const full = wait("The server has no space for this file at the moment.", undefined);
    if (all !== -1 && used.all + size > all) return full;
    const free = await files.free();
    if (free - size >= properties.get(keepFreeBytes)) return undefined;
    core.report.uploadsFull({ free });
    return full;
  }

  async function grant(request: OpenRequest, owner: Owner, wanted: Wanted, base: string): Promise<IqAnswer> {
    // Those who waited in front may have taken the last place.
    const why = crowding(owner) ?? (await refused(owner, wanted));
    if (why !== undefined) return no(request, owner, why);
    const token = core.random(16);
    const now = clock.now();
    const { name, type, size, purpose, latest } = wanted;
    const row = putSlot.with(
      ...([token, owner.account?.id ?? null, owner.component ?? null, name, type] as const),
      ...([size, purpose, now, latest] as const),
    );
    const ticket = request.session && core.sessions.commit(request.session, [row]);
    if (ticket === undefined && !(await stored(core, [row]))) return request.error(notStored);
    const address = `${base}/upload/${tokenText(token)}/${escapedName(name)}`;
    const credential = sign(key, { token, size, until: now + slotMs });
    const answered = request.element.getNS() === ns.uploadBefore ? slotBefore : slot;
    return request.result(answered(address, credential), ticket);
  }

  return {
    answer,
    filled() {
      fillings++;
      crowded.clear();
    },
  };
}

const keyOf = ({ account, component }: Owner): number | string => account?.id ?? component ?? "";

/** XEP-0363 §5 */
function slot(address: string, credential: string): Xml {
  return x(
    "slot",
    { xmlns: ns.upload },
    x("put", { url: address }, x("header", { name: "Authorization" }, text(`Bearer ${credential}`))),
    x("get", { url: address }),
  );
}

/** Before version 0.3 a slot had no headers, so what allows the upload stands in its address. */
function slotBefore(address: string, credential: string): Xml {
  return x(
    "slot",
    { xmlns: ns.uploadBefore },
    x("put", {}, text(`${address}?slot=${credential}`)),
    x("get", {}, text(address)),
  );
}

function purposeOf(name: string | undefined): Purpose | undefined {
  if (name === undefined) return "message";
  return (["message", "profile", "ephemeral", "permanent"] as const).find((one) => one === name);
}

/** 5242880 is "5 MiB". */
export function readable(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}
