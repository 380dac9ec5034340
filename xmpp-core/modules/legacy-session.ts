import { ns } from "../formats/namespaces.ts";
import { defineModule } from "./module.ts";

/** The session request of RFC 3921, which Pidgin, Thunderbird and Spark still send; it does nothing. RFC 6121 §1.4 */
export const legacySession = defineModule({
  name: "legacy-session",
  implements: [{ spec: "RFC 3921", section: "3", status: "partial", note: "answered, without meaning since RFC 6121" }],
  iq: [{ set: [ns.session, "session"], at: ["server", "account"], answer: (request) => request.result() }],
});
