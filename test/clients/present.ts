/** Says once, before the first test, which programs are driven in which version, and which are skipped and why. */
import { installed } from "../peers/peer.ts";
import { networkMissing } from "./network.ts";
import { actors } from "./programs.ts";

/** Vitest's global setup. */
export async function setup(): Promise<void> {
  for (const { name, program, missing } of actors) {
    if (missing === undefined) console.log(`${name} ${await program.version()}`);
    else console.warn(`skipped: ${name} (${missing})`);
  }
  const others = [
    ["programs that find the server by DNS", await networkMissing()],
    ["what needs coturn", await lacking("turnserver", "coturn")],
    ["drivers against Prosody", await lacking("prosody", "prosody")],
    ["what needs openssl", await lacking("openssl", "openssl")],
  ] as const;
  for (const [what, why] of others) if (why !== undefined) console.warn(`skipped: ${what} (${why})`);
}

async function lacking(program: string, debian: string): Promise<string | undefined> {
  return (await installed(program)) ? undefined : `apt-get install ${debian}`;
}
