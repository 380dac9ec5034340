/** Addresses, networks and ranges as the server writes them: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`. */
import { BlockList, isIP } from "node:net";

/** Whether an address is in a list of the server's canonical form. */
export function covers(list: readonly string[], address: string): boolean {
  const entries = new BlockList();
  for (const entry of list) {
    const [first = "", last] = entry.split("-");
    const [base = "", bits] = first.split("/");
    const family = familyOf(base);
    if (last !== undefined) entries.addRange(base, last, family);
    else if (bits !== undefined) entries.addSubnet(base, Number(bits), family);
    else entries.addAddress(base, family);
  }
  const plain = address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
  return entries.check(plain, familyOf(plain));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}
