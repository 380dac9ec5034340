/** A branch's copy of what headquarters sets: asked for once a minute, kept in `<home>/inherited.json` (0600). */
import { readFile } from "node:fs/promises";
import { Agent as HttpsAgent } from "node:https";
import { join } from "node:path";
import axios from "axios";
import { z } from "zod";
import { explain, type Notice } from "../errors.ts";
import { signatureDigest } from "../network/signed-request.ts";
import { writeWhole } from "../store/file-on-disk.ts";
import type { HostStore } from "../store/host-store.ts";
import { branchAccess } from "./access.ts";
import { inheriting, type Layer } from "./layered-store.ts";
import type { FleetParts, FleetPlace } from "./open.ts";
import { inheritedSettings } from "./published.ts";

const answer = z.strictObject({ settings: inheritedSettings });
const kept = z.object({ from: z.string(), branch: z.string(), etag: z.string(), settings: inheritedSettings });

const timeoutMs = 5_000;

export interface InheritedLayer extends Layer {
  /** Asks now; true if something changed. Never fails: headquarters away becomes a notice. */
  refresh(): Promise<boolean>;
  close(): void;
}

/** The store above the settings of headquarters, or as it is where nothing is inherited. Throws `fleet/invalid`. */
export async function withInherited(
  store: HostStore,
  place: FleetPlace,
  parts: Pick<FleetParts, "home" | "instance" | "failed" | "now">,
  ending: (() => unknown)[],
): Promise<HostStore> {
  if (!place.inherit) return store;
  const layer = await openLayer(place, parts);
  ending.push(() => layer.close());
  return inheriting(store, layer);
}

/** Throws `fleet/invalid` when the branch has no headquarters, no name or no key. */
export async function openLayer(
  place: Pick<FleetPlace, "reportTo" | "secretFile" | "ca">,
  { home, instance, failed, now }: Pick<FleetParts, "home" | "instance" | "failed" | "now">,
  everyMs = 60_000,
): Promise<InheritedLayer> {
  const { url, branch, secret, ca } = await branchAccess("/fleet/settings", place, instance);
  const path = join(home, "inherited.json");
  const httpsAgent = new HttpsAgent(ca === undefined ? {} : { ca });
  const closed = new AbortController();
  let has = await readKept(path, url.href, branch);
  let away: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function ask(): Promise<boolean> {
    const time = String(Math.floor(now() / 1000));
    const { status, data, headers } = await axios.get<string>(url.href, {
      headers: {
        "X-Firekeeper-Branch": branch,
        "X-Firekeeper-Signature": `t=${time},v1=${signatureDigest(secret, time, "").toString("hex")}`,
        ...(has === undefined ? {} : { "If-None-Match": has.etag }),
      },
      httpsAgent,
      signal: closed.signal,
      timeout: timeoutMs,
      maxRedirects: 0,
      maxContentLength: 1024 * 1024,
      responseType: "text",
      transformResponse: (text) => text,
      validateStatus: (given) => given === 200 || (given === 304 && has !== undefined),
      proxy: false,
    });
    if (status === 304) return false;
    const { settings } = answer.parse(JSON.parse(data));
    const etag: unknown = headers.etag;
    const changed = JSON.stringify(settings) !== JSON.stringify(has?.settings);
    has = { from: url.href, branch, etag: typeof etag === "string" ? etag : "", settings };
    await writeWhole(path, `${JSON.stringify(has)}\n`);
    return changed;
  }
  async function refresh(): Promise<boolean> {
    try {
      const changed = await ask();
      away = undefined;
      return changed;
    } catch (error) {
      if (closed.signal.aborted) return false;
      const why = error instanceof z.ZodError ? z.prettifyError(error) : explain(error);
      // Said once, not each minute.
      if (away === undefined) failed("fleet/layer-away", `Headquarters did not tell its settings: ${why}`);
      away = why;
      return false;
    }
  }
  let first: Promise<unknown> | undefined;
  return {
    refresh,
    async current() {
      first ??= refresh();
      await first;
      const notice: Notice = {
        code: "fleet/layer-away",
        message: has
          ? `Headquarters does not tell its settings (${away}); the last it told stay in force.`
          : `Headquarters has not told its settings yet (${away}); the store's own are in force.`,
        hint: "Look at address, key, clock and certificate authority; the branch asks again every minute.",
      };
      return { settings: new Map(Object.entries(has?.settings ?? {})), notices: away === undefined ? [] : [notice] };
    },
    watch(changed) {
      let ended = false;
      const round = async () => {
        const before = away;
        const news = await refresh();
        if (ended || closed.signal.aborted) return;
        if (news || (before === undefined) !== (away === undefined)) changed();
        plan();
      };
      const plan = () => {
        timer = setTimeout(() => void round(), everyMs);
        timer.unref();
      };
      plan();
      return () => {
        ended = true;
        clearTimeout(timer);
      };
    },
    close() {
      closed.abort();
      clearTimeout(timer);
      httpsAgent.destroy();
    },
  };
}

/** The copy from this headquarters for this branch; a damaged one is fetched anew. */
async function readKept(path: string, from: string, branch: string): Promise<z.infer<typeof kept> | undefined> {
  try {
    const read = kept.parse(JSON.parse(await readFile(path, "utf8")));
    return read.from === from && read.branch === branch ? read : undefined;
  } catch {
    return undefined;
  }
}
