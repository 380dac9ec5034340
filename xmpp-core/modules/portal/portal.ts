import { languageOf } from "../../formats/language.ts";
import { property } from "../../properties/property.ts";
import { boolean, list, type TextSchema, text } from "../../properties/text-schema.ts";
import { defineModule } from "../module.ts";
import { fresh, pathPrefix, viewOf } from "../public-page.ts";
import { plainAnswer, type WebAnswer, type WebRequest, webRoutes } from "../web-points.ts";
import { certificatesFacts } from "./certificate-facts.ts";
import { certificatesPage } from "./certificates-page.ts";
import { leads } from "./dns-lead.ts";
import { portalFacts } from "./facts.ts";
import { guideList, guidePage } from "./guide-page.ts";
import { guideNames, guides } from "./guides/all.ts";
import type { Place } from "./layout.ts";
import { portalPage } from "./portal-page.ts";
import { icon, style } from "./style.ts";
import { words } from "./words.ts";

const enabled = property("firekeeper.portal.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the ports for browsers show what to type into chat programs, guides for them, and the fingerprints of the certificates.",
});

const shownGuides = property("firekeeper.portal.clients", {
  schema: list(
    (given) => guideNames.find((name) => name === given.toLowerCase()),
    `the words ${guideNames.join(", ")}`,
  ),
  default: [...guideNames],
  impact: "live",
  doc: "Chat programs with a guide on the public pages, the recommended one first.",
});

const onionAddress: TextSchema<string> = {
  ...text,
  zod: text.zod.refine((given) => /^[a-z2-7]{56}\.onion$/.test(given)),
  rule: "the address of an onion service: 56 letters and digits, then .onion",
  hint: () => "It stands in the file hostname of the onion service.",
};

const onionService = property("firekeeper.portal.onion", {
  schema: onionAddress,
  default: undefined,
  impact: "live",
  doc: "Onion service that leads to the client ports; the public pages and guides then say how to use it.",
});

const html = "text/html; charset=utf-8";
const json = "application/json; charset=utf-8";

/** The public pages of a domain: what to type, guides for clients, certificates; and the same as JSON. docs/guides.md */
export const portal = defineModule({
  name: "portal",
  implements: [],
  properties: [enabled, shownGuides, onionService],
  start(core) {
    const dns = leads(core.clock);
    const { get } = core.properties;
    const own = () => ({ guides: get(shownGuides), onion: get(onionService) });
    const factsFor = (view: string) => portalFacts(core, dns, view, own());

    page("", async (request, place, view) => {
      const facts = await factsFor(view);
      const shown = get(shownGuides).flatMap((client) => guides.get(client) ?? []);
      return fresh(request, html, portalPage(place, facts, shown), inLanguage(place));
    });
    page("guide", async (request, place, view) => {
      const [client, ...more] = request.segments;
      const shown = get(shownGuides);
      if (client === undefined)
        return fresh(request, html, guideList({ ...place, path: "/guide" }, view, shown), inLanguage(place));
      const guide = more.length === 0 && shown.includes(client) ? guides.get(client) : undefined;
      if (guide === undefined) return missing(place);
      const facts = await factsFor(view);
      return fresh(request, html, guidePage({ ...place, path: `/guide/${client}` }, guide, facts), inLanguage(place));
    });
    page("certificates", (request, place, view) => {
      const shown = certificatesPage({ ...place, path: "/certificates" }, view, certificatesFacts(core.certificates()));
      return fresh(request, html, shown, inLanguage(place));
    });
    page("portal.json", async (request, _place, view) => fresh(request, json, asText(await factsFor(view))));
    page("certificates.json", (request) => fresh(request, json, asText(certificatesFacts(core.certificates()))));
    page("portal.css", () => kept("text/css; charset=utf-8", style));
    page("portal.svg", () => kept("image/svg+xml", icon));
    return undefined;

    function page(
      root: string,
      answer: (request: WebRequest, place: Place, view: string) => WebAnswer | Promise<WebAnswer>,
    ): void {
      core.offer(webRoutes, {
        root,
        methods: ["GET"],
        everyOrigin: root.endsWith(".json"),
        answer(request) {
          const asked = request.query.get("lang");
          const language = languageOf(asked, request.headers["accept-language"]);
          const place: Place = { language, prefix: pathPrefix(core), path: `/${root}`, chosen: asked === language };
          // What was asked for below a page that has nothing below it.
          if (!get(enabled) || (request.segments.length > 0 && root !== "guide")) return missing(place);
          return answer(request, place, viewOf(core, request));
        },
      });
    }
  },
});

/** Its address changes with it, or it hardly ever does. */
const kept = (type: string, body: string): WebAnswer => ({
  status: 200,
  headers: { "content-type": type, "cache-control": "public, max-age=604800" },
  body,
});

const inLanguage = ({ language }: Place) => ({ "content-language": language, vary: "accept-language" });
const asText = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

function missing(place: Place): WebAnswer {
  const { missing: why, missingTitle } = words[place.language];
  return plainAnswer(404, `${missingTitle}. ${why}`, inLanguage(place));
}
