import { expect } from "vitest";
import { authenticate, phone, requestToken, tokenOf } from "../support/sasl2.ts";
import { scram } from "../support/scram-client.ts";
import { ns } from "../support/stanzas.ts";
import type { Proof, World } from "./properties-world.ts";

/** The server's first message of SCRAM in the profile of RFC 6120. */
async function firstOfOlder(world: World): Promise<string> {
  const client = await world.connect();
  const { first } = scram({ mechanism: "SCRAM-SHA-1", user: "alice", password: "alice" });
  client.send(`<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-1'>${Buffer.from(first).toString("base64")}</auth>`);
  return Buffer.from((await client.next("challenge")).getText(), "base64").toString();
}

/** The same in the profile of XEP-0388. */
async function firstOfNewer(world: World): Promise<string> {
  const client = await world.connect();
  await authenticate(client, { user: "alice", mechanism: "SCRAM-SHA-1" });
  const challenge = /<challenge xmlns="urn:xmpp:sasl:2">([^<]+)</.exec(client.transcript())?.[1] ?? "";
  return Buffer.from(challenge, "base64").toString();
}

export const loginProofs: Record<string, Proof> = {
  async "firekeeper.sasl.downgrade-protection"(world) {
    const shown = /,h=[A-Za-z0-9+/]{27}=$/;
    expect(await firstOfNewer(world)).toMatch(shown);
    expect(await firstOfOlder(world)).not.toContain(",h=");
    await world.set({ "firekeeper.sasl.downgrade-protection": "always" });
    expect(await firstOfOlder(world)).toMatch(shown);
    await world.set({ "firekeeper.sasl.downgrade-protection": "never" });
    expect(await firstOfNewer(world)).not.toContain(",h=");
  },
  async "firekeeper.login-tokens.days"(world) {
    await world.set({ "firekeeper.login-tokens.days": "2" });
    const success = await authenticate(await world.connect(), { user: "alice", agent: phone, inside: requestToken() });
    const expiry = Date.parse(success.getChild("token")?.attrs.expiry);
    expect(Math.round((expiry - world.now()) / 3600_000)).toBe(48);
    const token = tokenOf(success) ?? "";
    const again = { user: "alice", agent: phone, token, mechanism: "HT-SHA-256-EXPR" };
    expect((await authenticate(await world.connect(), again)).getName()).toBe("success");
    await world.set({ "firekeeper.login-tokens.days": "0" });
    expect((await authenticate(await world.connect(), again)).getName()).toBe("failure");
  },
};
