import { formatDate } from "../formats/delay.ts";
import { ns } from "../formats/namespaces.ts";
import { text, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";

/** The server's time, in UTC. XEP-0202 */
export const entityTime = defineModule({
  name: "entity-time",
  implements: [{ spec: "XEP-0202", version: "2.0", status: "complete" }],
  features: [ns.time],
  start: (core) => ({
    iq: [
      {
        get: [ns.time, "time"],
        at: ["server"],
        open: true,
        answer: (request) =>
          request.result(
            x(
              "time",
              { xmlns: ns.time },
              x("tzo", {}, text("Z")),
              x("utc", {}, text(formatDate(new Date(core.clock.now())))),
            ),
          ),
      },
    ],
  }),
});
