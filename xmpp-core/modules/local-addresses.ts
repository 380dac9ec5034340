import { networkInterfaces } from "node:os";

/** Addresses of this machine that another one may reach; loopback if there is nothing else. `only`: the one that is bound. */
export function localAddresses(only: string | undefined): readonly string[] {
  if (only !== undefined) return [only];
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const outside = all
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
    .map(({ address }) => address);
  return outside.length > 0 ? outside : ["127.0.0.1"];
}
