import type { TestCore } from "./core.ts";

/** The one sees the other's presence from now on; both are logged out again. */
export async function subscribe(core: TestCore, one: string, other: string): Promise<void> {
  const [seeing, seen] = await Promise.all([core.login(one), core.login(other)]);
  await seeing.roster();
  seeing.presence();
  seen.presence();
  seeing.presence("", `type='subscribe' to='${other}@${core.domain}'`);
  await seen.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  seen.presence("", `type='subscribed' to='${one}@${core.domain}'`);
  await seeing.next("presence", (stanza) => stanza.attrs.type === "subscribed");
  await Promise.all([seeing.close(), seen.close()]);
}
