import { ns } from "../formats/namespaces.ts";
import { text, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";
import { sharedContacts } from "./points.ts";

/** The names of the shared groups that somebody sees, so that Spark does not let him edit them. Openfire's own extension. */
export const sparkGroups = defineModule({
  name: "spark-groups",
  implements: [],
  features: [ns.sharedGroup],
  start: (core) => ({
    iq: [
      {
        get: [ns.sharedGroup, "sharedgroup"],
        at: ["server", "account"],
        answer(request) {
          const names = core.offered(sharedContacts).flatMap((each) => each.groupNames(request.session.account));
          const groups = [...new Set(names)].sort().map((name) => x("group", {}, text(name)));
          return request.result(x("sharedgroup", { xmlns: ns.sharedGroup }, groups));
        },
      },
    ],
  }),
});
