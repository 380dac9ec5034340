import { converseOverBosh, converseOverWebSocket } from "./converse.ts";
import { dino } from "./dino.ts";
import { finch } from "./finch.ts";
import { gajim } from "./gajim.ts";
import { profanity } from "./profanity.ts";
import type { ClientProgram } from "./real-client.ts";
import { slixmpp } from "./slixmpp.ts";
import { thunderbird } from "./thunderbird.ts";
import { xmppJs } from "./xmpp-js.ts";

export interface Driven {
  readonly name: string;
  readonly program: ClientProgram;
  /** Why it cannot run here; undefined if it can. */
  readonly missing: string | undefined;
}

const driven = (programs: readonly ClientProgram[]): Promise<Driven[]> =>
  Promise.all(programs.map(async (program) => ({ name: program.name, program, missing: await program.missing() })));

/** The programs without windows, which start within a second. */
export const programs: Driven[] = await driven([slixmpp, profanity, finch, xmppJs]);

/** Those of story.test.ts; who comes by DNS is told nothing but address and password. */
export const actors: (Driven & { readonly byDns: boolean })[] = [
  ...programs.map((one) => ({ ...one, byDns: one.program === slixmpp || one.program === profanity })),
  ...(await driven([gajim, dino, thunderbird, converseOverWebSocket, converseOverBosh])).map((one) => ({
    ...one,
    byDns: one.program === dino,
  })),
];

for (const { name, missing } of actors)
  if (missing !== undefined) console.warn(`skipped: ${name} is not installed (${missing}); .ci/run installs it`);
