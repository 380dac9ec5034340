import { ns } from "../formats/namespaces.ts";
import { defineModule } from "./module.ts";

/** Lets a client ask whether the server still answers. XEP-0199 */
export const ping = defineModule({
  name: "ping",
  implements: [{ spec: "XEP-0199", version: "2.0.1", status: "complete" }],
  features: [ns.ping],
  accountFeatures: [ns.ping],
  iq: [
    { get: [ns.ping, "ping"], at: ["server", "service:*"], open: true, answer: (request) => request.result() },
    { get: [ns.ping, "ping"], at: ["account"], answer: (request) => request.result() },
  ],
});
