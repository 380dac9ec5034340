import { ns } from "../formats/namespaces.ts";
import { property } from "../properties/property.ts";
import { boolean } from "../properties/text-schema.ts";
import { idle, idlePing, preauthTimeout, stanzaBytes } from "../stream/properties.ts";
import { limitsBeforeLogin } from "../xml/limits.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";

const hidden = property("xmpp.client.limits.advertisement.disabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether clients are not told how much they may send at once and how long they may be silent.",
});

/** What a client may send at once and how long it may be silent, told before it finds out. XEP-0478 */
export const streamLimits = defineModule({
  name: "stream-limits",
  implements: [{ spec: "XEP-0478", version: "0.2.0", status: "complete", note: "on streams of clients" }],
  properties: [hidden],
  start: ({ properties }) => ({
    featuresBeforeLogin: () =>
      properties.get(hidden) ? [] : [limits(limitsBeforeLogin.stanzaBytes, properties.get(preauthTimeout))],
    streamFeatures: () => {
      if (properties.get(hidden)) return [];
      const silence = properties.get(idle);
      // Half-way it is asked whether it is still there: that too is what the limit means.
      const noticed = properties.get(idlePing) ? silence / 2 : silence;
      return [limits(properties.get(stanzaBytes), silence < 0 ? undefined : noticed)];
    },
  }),
});

function limits(bytes: number, silenceMs: number | undefined): Xml {
  return x(
    "limits",
    { xmlns: ns.streamLimits },
    x("max-bytes", {}, text(String(bytes))),
    silenceMs !== undefined && x("idle-seconds", {}, text(String(Math.floor(silenceMs / 1000)))),
  );
}
