import type { TlsFacts } from "../transport/connection.ts";

/** Who comes by HTTP, once proxies that we trust have said on whose behalf they ask. */
export interface Visitor {
  readonly address: string;
  /** TLS on the browser's side: here, or at a proxy that we trust. */
  readonly secure: boolean;
  /** A proxy that we trust speaks for it. */
  readonly proxied: boolean;
}

/** What a stream may rely on. Browsers cannot read what a login would be bound to, so it is left out unless it `binds`. */
export function visitorTls(visitor: Visitor, ours: TlsFacts | undefined, binds: boolean): TlsFacts | undefined {
  if (!visitor.secure) return undefined;
  if (ours === undefined) return elsewhere;
  if (binds && !visitor.proxied) return ours;
  const { version, cipher, certificate } = ours;
  return { version, cipher, certificate };
}

const elsewhere: TlsFacts = { version: "TLS", cipher: "by HTTPS", certificate: "" };
