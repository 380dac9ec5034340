/** The two questions that are asked of DNS. */
import { Resolver } from "node:dns/promises";

export type AddressRecord = { address: string; ttl: number };

/** Node's resolver answers them; rejects with its code, `ENODATA` or `ENOTFOUND` where there is nothing. */
export interface AddressResolver {
  resolve4(name: string): Promise<AddressRecord[]>;
  resolve6(name: string): Promise<AddressRecord[]>;
}

export function systemResolver(): AddressResolver {
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  return {
    resolve4: (name) => resolver.resolve4(name, { ttl: true }),
    resolve6: (name) => resolver.resolve6(name, { ttl: true }),
  };
}
