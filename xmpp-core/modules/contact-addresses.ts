import { ns } from "../formats/namespaces.ts";
import { property } from "../properties/property.ts";
import { list } from "../properties/text-schema.ts";
import { defineModule } from "./module.ts";
import { discoExtra } from "./points.ts";

/** XEP-0157 §3 wants URIs; an address alone is what people type, and says which it is by its form only to people. */
const uris = list(
  (given) => (/^(mailto|xmpp|https?|tel|sip):[^\s<>"]+$/i.test(given) && URL.canParse(given) ? given : undefined),
  "URIs such as mailto:abuse@example.org, xmpp:admins@example.org or https://example.org/help",
);

const kind = (key: `firekeeper.contact.${string}`, whatFor: string) =>
  property(key, {
    schema: uris,
    default: [],
    impact: "live",
    doc: `Where to turn ${whatFor}: mailto:, xmpp: or https: addresses, shown to everybody who asks what this server is.`,
  });

const abuse = kind("firekeeper.contact.abuse", "about abuse that comes from this server");
const admin = kind("firekeeper.contact.admin", "to reach the administrators");
const feedback = kind("firekeeper.contact.feedback", "with praise and complaints");
const sales = kind("firekeeper.contact.sales", "to buy something");
const security = kind("firekeeper.contact.security", "with security problems");
const status = kind("firekeeper.contact.status", "to see whether the service is up");
const support = kind("firekeeper.contact.support", "for help");

const fields = [
  ["abuse-addresses", abuse],
  ["admin-addresses", admin],
  ["feedback-addresses", feedback],
  ["sales-addresses", sales],
  ["security-addresses", security],
  ["status-addresses", status],
  ["support-addresses", support],
] as const;

/** Whom to write to about this server. XEP-0157 */
export const contactAddresses = defineModule({
  name: "contact-addresses",
  implements: [{ spec: "XEP-0157", version: "1.1.1", status: "complete" }],
  properties: fields.map(([, declared]) => declared),
  start(core) {
    core.offer(discoExtra, {
      forms() {
        const shown = fields.flatMap(([name, declared]) => {
          const values = core.properties.get(declared);
          return values.length === 0 ? [] : [{ name, type: "list-multi" as const, values }];
        });
        return shown.length === 0 ? [] : [{ type: "result", formType: ns.serverInfo, fields: shown }];
      },
    });
    return undefined;
  },
});
