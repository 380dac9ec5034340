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

const knowsDns = new Set<ClientProgram>([slixmpp, profanity]);

/** Those of story.test.ts; who comes by DNS is told nothing but address and password, and Dino cannot come otherwise. */
export const actors: (Driven & { readonly dns: "never" | "if there is" | "only" })[] = [
  ...programs.map((one) => ({
    ...one,
    dns: knowsDns.has(one.program) ? ("if there is" as const) : ("never" as const),
  })),
  ...(await driven([gajim, dino, thunderbird, converseOverWebSocket, converseOverBosh])).map((one) => ({
    ...one,
    dns: one.program === dino ? ("only" as const) : ("never" as const),
  })),
];
