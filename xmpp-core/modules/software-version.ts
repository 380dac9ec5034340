import { ns } from "../formats/namespaces.ts";
import { programVersion } from "../version.ts";
import { text, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";

/** Name and version of the server; the operating system is nobody's business. XEP-0092 */
export const softwareVersion = defineModule({
  name: "software-version",
  implements: [{ spec: "XEP-0092", version: "1.1", status: "complete" }],
  features: [ns.version],
  iq: [
    {
      get: [ns.version, "query"],
      at: ["server"],
      open: true,
      answer: (request) =>
        request.result(
          x("query", { xmlns: ns.version }, x("name", {}, text("Firekeeper")), x("version", {}, text(programVersion))),
        ),
    },
  ],
});
