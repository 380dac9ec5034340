import { ns } from "../../formats/namespaces.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import { webAddress } from "../../stream/web-ports.ts";
import { defineModule } from "../module.ts";
import { discoExtra } from "../points.ts";
import { fresh, pathPrefix, viewOf } from "../public-page.ts";
import { accountPages, plainAnswer, typedServices, type WebAnswer, type WebRequest, webRoutes } from "../web-points.ts";
import { type ConverseFiles, openConverse } from "./converse-files.ts";
import { chatPage, chatPolicy, chatSettings, startScript } from "./page.ts";

const enabled = property("firekeeper.webchat.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether the ports for browsers have a web chat: Converse.js at /chat/, for accounts of the domain.",
});

const root = "chat";

/** A chat in the browser, by Converse.js (MPL-2.0, unchanged): nothing comes from other hosts. docs/guides.md */
export const webChat = defineModule({
  name: "web-chat",
  implements: [],
  properties: [enabled],
  start(core) {
    const { get } = core.properties;
    /** Looked for when it is switched on for the first time; null: the package is not there. */
    let files: Promise<ConverseFiles | undefined> | undefined;
    let there = false;
    core.watch(enabled, (on) => {
      if (!on) return;
      files ??= openConverse();
      core.seeThrough(
        "looking for Converse.js",
        files.then((found) => {
          there = found !== undefined;
        }),
      );
    });
    core.offer(accountPages, {
      kind: "web-chat",
      path: () =>
        get(enabled) && there && webAddress(get, core.names.primary.name) !== undefined ? `/${root}/` : undefined,
    });
    core.offer(webRoutes, { root, methods: ["GET"], answer });
    return undefined;

    async function answer(request: WebRequest): Promise<WebAnswer> {
      if (!get(enabled) || files === undefined) return plainAnswer(404, "There is no web chat here.");
      const found = await files;
      if (found === undefined)
        return plainAnswer(
          503,
          "The web chat is switched on, but its program is not installed: npm install converse.js, then build again.",
        );
      const [first, ...more] = request.segments;
      if (first === found.version) return file(request, found.file(more.join("/")));
      if (more.length > 0) return plainAnswer(404, "There is nothing here.");
      const view = viewOf(core, request);
      const base = `${pathPrefix(core)}/${root}`;
      // A page that asks for passwords is not shown where they could be read on the way.
      if (!request.secure) return toSecure(view);
      if (first === undefined)
        return fresh(request, "text/html; charset=utf-8", chatPage(base, view, found.version), {
          "content-security-policy": chatPolicy,
        });
      if (first === "start.js") return fresh(request, "text/javascript; charset=utf-8", startScript);
      if (first !== "settings.json") return plainAnswer(404, "There is nothing here.");
      const rooms = core
        .offered(typedServices)
        .flatMap((each) => each.services())
        .find(({ kind }) => kind === "rooms");
      const settings = chatSettings({
        ...{ base, version: found.version, domain: view },
        registration: core.offered(discoExtra).some((each) => each.features?.().includes(ns.register) === true),
        rooms: rooms && core.names.hostName(view, rooms.service),
      });
      return fresh(request, "application/json; charset=utf-8", JSON.stringify(settings));
    }

    function toSecure(view: string): WebAnswer {
      const to = webAddress(get, view);
      if (to === undefined) return plainAnswer(404, "The web chat is only to be had over HTTPS.");
      return { status: 307, headers: { location: `${to}/${root}/`, "cache-control": "no-store" } };
    }
  },
});

async function file(request: WebRequest, asked: ReturnType<ConverseFiles["file"]>): Promise<WebAnswer> {
  if (asked === undefined) return plainAnswer(404, "There is nothing here.");
  const { type, bytes, gzipped } = await asked;
  const headers = {
    "content-type": type,
    "cache-control": "public, max-age=31536000, immutable",
    vary: "accept-encoding",
  };
  const takesGzip = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(request.headers["accept-encoding"] ?? "");
  if (gzipped === undefined || !takesGzip) return { status: 200, headers, body: bytes };
  return { status: 200, headers: { ...headers, "content-encoding": "gzip" }, body: gzipped };
}
