import { finch } from "./finch.ts";
import { profanity } from "./profanity.ts";
import type { ClientProgram } from "./real-client.ts";
import { slixmpp } from "./slixmpp.ts";
import { xmppJs } from "./xmpp-js.ts";

/** Every client program that is driven here, and why one cannot run. */
export const programs: { name: string; program: ClientProgram; missing: string | undefined }[] = await Promise.all(
  [slixmpp, profanity, finch, xmppJs].map(async (program) => ({
    name: program.name,
    program,
    missing: await program.missing(),
  })),
);

for (const { name, missing } of programs)
  if (missing !== undefined) console.warn(`skipped: ${name} is not installed (${missing}); .ci/run installs it`);
