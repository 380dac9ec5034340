import { z } from "zod";
import { ns } from "../formats/namespaces.ts";
import { property } from "../properties/property.ts";
import { boolean, list, type TextSchema, text } from "../properties/text-schema.ts";
import { type Core, defineModule } from "./module.ts";
import { type Downtime, discoExtra, downtimes } from "./points.ts";
import { publicPages } from "./web-points.ts";

/** A moment in UTC, as XEP-0082 writes it. */
const moment: TextSchema<string> = {
  ...text,
  zod: z
    .string()
    .trim()
    .refine((given) => /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(given))
    .refine((given) => !Number.isNaN(Date.parse(given)))
    .transform((given) => iso(Date.parse(given))),
  rule: "a date and time with its zone",
  hint: () => "For example 2027-03-01T22:00:00Z.",
};

const beginning = property("firekeeper.outage.beginning", {
  schema: moment,
  default: undefined,
  impact: "live",
  doc: "When an outage of the service begins or began; while it is set the outage is told to everybody.",
});
const expectedEnd = property("firekeeper.outage.expected-end", {
  schema: moment,
  default: undefined,
  impact: "live",
  doc: "When the outage should be over.",
});
const message = property("firekeeper.outage.message", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "What people are told of the outage.",
});
const planned = property("firekeeper.outage.planned", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the outage was planned, or came by itself.",
});
const addresses = property("firekeeper.outage.addresses", {
  schema: list(
    (given) => (/^https?:\/\/[^\s<>"]+$/i.test(given) && URL.canParse(given) ? given : undefined),
    "web addresses of status documents on other machines",
  ),
  default: [],
  impact: "live",
  doc: "Where clients find out about an outage when this server cannot answer: documents as XEP-0455 describes them, on machines that go on running.",
});

const root = "/service-status.json";

/** What clients show instead of an error: that the service is down, why and how long. XEP-0455 */
export const serviceOutage = defineModule({
  name: "service-outage",
  implements: [{ spec: "XEP-0455", version: "0.2.0", status: "complete" }],
  properties: [beginning, expectedEnd, message, planned, addresses],
  start,
});

function start(core: Core) {
  const { properties } = core;
  /** Of a shutdown that an admin announced. */
  let downtime: Downtime | undefined;
  core.offer(downtimes, {
    plan(given) {
      downtime = given;
    },
  });

  /** The document as it is now; `{}`: there is no outage. */
  function outage(): Record<string, unknown> {
    const since = properties.get(beginning);
    if (since !== undefined)
      return status(properties.get(planned), since, properties.get(expectedEnd), properties.get(message));
    if (downtime === undefined) return {};
    const end = downtime.expectedEnd;
    return status(true, iso(downtime.beginning), end === undefined ? undefined : iso(end), downtime.message);
  }

  core.offer(publicPages, {
    root,
    answer(segments) {
      if (segments.length > 0) return undefined;
      return { type: "application/json; charset=utf-8", body: `${JSON.stringify(outage())}\n` };
    },
  });
  core.offer(discoExtra, {
    forms() {
      const own = core.webAddress(core.names.primary.name);
      const listed = [...properties.get(addresses)];
      if (own !== undefined && "beginning" in outage()) listed.push(`${own}${root}`);
      if (listed.length === 0) return [];
      const field = { name: "external-status-addresses", type: "list-multi" as const, values: listed };
      return [{ type: "result", formType: ns.serviceOutage, fields: [field] }];
    },
  });
  return undefined;
}

const iso = (at: number): string => new Date(at).toISOString().replace(/\.000Z$/, "Z");

function status(wasPlanned: boolean, since: string, end: string | undefined, told: string | undefined) {
  return {
    planned: wasPlanned,
    beginning: since,
    ...(end !== undefined && { expected_end: end }),
    ...(told !== undefined && { message: { default: told } }),
  };
}
