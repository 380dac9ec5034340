/** A small ACME authority (RFC 8555) in the test's process: it looks at http-01 proofs for real, and believes dns-01. */
import { createHash, createHmac, randomBytes, webcrypto } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";

export interface Authority {
  /** Its directory, and another one of the same authority. */
  readonly directory: string;
  readonly otherDirectory: string;
  readonly secureDirectory: string;
  /** PEM of the root of `secureDirectory`. */
  readonly root: string;
  /** Every order that came to a certificate. */
  readonly issued: Issued[];
  /** Contacts of each registration and change of an account. */
  readonly contacts: string[][];
  readonly accounts: Set<string>;
  /** Key ids of external account bindings; "wrong" where the HMAC is not of `bindingKey`. */
  readonly bindings: string[];
  /** Requests of each kind, refused ones too. */
  readonly requests: string[];
  /** Changed by tests. */
  behaviour: {
    httpPort: number;
    /** Days that certificates live. */
    days: number;
    bindingKey: string;
    /** So many of the next nonces are refused. */
    badNonces: number;
    /** Answers every request for a new order so. */
    refuseOrders: { status: number; type: string; detail: string; retryAfter?: string } | undefined;
    /** Issues for these names instead of those asked for. */
    names: string[] | undefined;
    /** Resolves before an order is placed. */
    hold: Promise<void> | undefined;
    /** Asks for a proof of this token instead. */
    token: string | undefined;
  };
  close(): void;
}

interface Issued {
  readonly via: string;
  readonly names: readonly string[];
  readonly challenges: readonly string[];
}

interface Order {
  readonly names: string[];
  readonly tokens: string[];
  readonly challenges: string[];
  readonly states: ("pending" | "valid" | "invalid")[];
  chain?: string;
}

export async function startAuthority(httpPort = 0): Promise<Authority> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const ownKey = newKey();
  const root = await selfSigned({ domain: "localhost", extra: ["127.0.0.1"] }, ownKey, new Date());
  const orders: Order[] = [];
  const keysOf = new Map<string, unknown>();
  const own: Omit<Authority, "directory" | "otherDirectory" | "secureDirectory" | "close"> = {
    ...{ root, issued: [], contacts: [], accounts: new Set<string>(), bindings: [], requests: [] },
    behaviour: {
      ...{ httpPort, days: 90, bindingKey: "", badNonces: 0 },
      ...{ refuseOrders: undefined, names: undefined, hold: undefined, token: undefined },
    },
  };

  const thumbprint = (jwk: unknown): string => {
    const { crv, kty, x, y } = jwk as Record<string, string>;
    return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
  };

  async function proven(order: Order, place: number, jwk: unknown): Promise<boolean> {
    if (order.challenges[place] === "dns-01") return true;
    const token = order.tokens[place];
    const seen = await fetch(`http://127.0.0.1:${own.behaviour.httpPort}/.well-known/acme-challenge/${token}`)
      .then((answer) => answer.text())
      .catch(() => "");
    return seen === `${token}.${thumbprint(jwk)}`;
  }

  async function issue(order: Order, csr: string): Promise<void> {
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(csr, "base64url"));
    const names = own.behaviour.names ?? order.names;
    const certificate = await x509.X509CertificateGenerator.create(
      {
        serialNumber: `01${randomBytes(8).toString("hex")}`,
        ...{ subject: `CN=${names[0]}`, issuer: "CN=Test authority" },
        notBefore: new Date(),
        notAfter: new Date(Date.now() + own.behaviour.days * 86_400_000),
        ...{
          signingAlgorithm: algorithm,
          publicKey: await request.publicKey.export(webcrypto),
          signingKey: keys.privateKey,
        },
        extensions: [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns" as const, value })))],
      },
      webcrypto,
    );
    order.chain = certificate.toString("pem");
  }

  async function answer(request: IncomingMessage, response: ServerResponse, base: string): Promise<void> {
    const [, via = "", what = "", number = "", place = ""] = (request.url ?? "").split("/");
    own.requests.push(number === "" ? what : `${what} ${number}`);
    const at = (...path: (string | number)[]): string => [base, via, ...path].join("/");
    const send = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { "replay-nonce": randomBytes(8).toString("hex"), ...headers });
      response.end(typeof body === "string" ? body : JSON.stringify(body));
    };
    const json = { "content-type": "application/json" };
    const refuse = (status: number, type: string, detail: string, headers = {}): void =>
      send(status, { type: `urn:ietf:params:acme:error:${type}`, detail }, { ...json, ...headers });
    if (what === "dir")
      return send(200, { newNonce: at("nonce"), newAccount: at("account"), newOrder: at("order"), meta: {} }, json);
    if (what === "nonce") return send(200, "");
    let text = "";
    for await (const chunk of request) text += chunk;
    const signed = JSON.parse(text) as { protected: string; payload: string };
    const decode = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString() || "{}");
    const head = decode(signed.protected) as { jwk?: unknown; kid?: string };
    const payload = decode(signed.payload);
    if (own.behaviour.badNonces > 0) {
      own.behaviour.badNonces--;
      return refuse(400, "badNonce", "This nonce is no good.");
    }
    const jwk = head.jwk ?? keysOf.get(head.kid ?? "");
    if (jwk === undefined) return refuse(400, "accountDoesNotExist", "Nobody has this account.");
    const order = number === "" ? undefined : orders[Number(number)];
    const view = (index: number, one: Order) => ({
      status: one.chain ? "valid" : one.states.every((state) => state === "valid") ? "ready" : "pending",
      identifiers: one.names.map((value) => ({ type: "dns", value })),
      authorizations: one.names.map((_, each) => at("authorization", index, each)),
      finalize: at("finalize", index),
      ...(one.chain ? { certificate: at("certificate", index) } : {}),
    });
    if (what === "account") {
      const url = at("account", thumbprint(jwk));
      const known = keysOf.has(url);
      if (payload.externalAccountBinding) {
        const { protected: kid, payload: bound, signature } = payload.externalAccountBinding;
        const mac = createHmac("sha256", Buffer.from(own.behaviour.bindingKey, "base64url"));
        const right = mac.update(`${kid}.${bound}`).digest("base64url") === signature;
        own.bindings.push(right ? decode(kid).kid : "wrong");
      }
      keysOf.set(url, jwk);
      own.accounts.add(url);
      own.contacts.push(payload.contact ?? []);
      return send(known ? 200 : 201, { status: "valid", orders: at("orders") }, { ...json, location: url });
    }
    if (what === "order" && order === undefined) {
      await own.behaviour.hold;
      const { refuseOrders } = own.behaviour;
      if (refuseOrders !== undefined)
        return refuse(
          refuseOrders.status,
          refuseOrders.type,
          refuseOrders.detail,
          refuseOrders.retryAfter === undefined ? {} : { "retry-after": refuseOrders.retryAfter },
        );
      const names = (payload.identifiers as { value: string }[]).map(({ value }) => value);
      const made: Order = {
        names,
        tokens: names.map(() => own.behaviour.token ?? randomBytes(24).toString("base64url")),
        challenges: names.map(() => ""),
        states: names.map(() => "pending"),
      };
      const index = orders.push(made) - 1;
      return send(201, view(index, made), { ...json, location: at("order", index) });
    }
    if (order === undefined) return refuse(404, "malformed", "There is nothing here.");
    const each = Number(place.split("-")[0]);
    const challenge = (type: string) => ({
      ...{
        type,
        url: at("challenge", number, `${each}-${type}`),
        token: order.tokens[each],
        status: order.states[each],
      },
      ...(order.states[each] === "invalid" ? { error: { detail: "The proof is not there." } } : {}),
    });
    if (what === "authorization")
      return send(
        200,
        {
          identifier: { type: "dns", value: order.names[each]?.replace("*.", "") },
          status: order.states[each],
          challenges: [challenge("http-01"), challenge("dns-01")],
        },
        json,
      );
    if (what === "challenge") {
      if (signed.payload !== "") {
        order.challenges[each] = place.slice(place.indexOf("-") + 1);
        order.states[each] = (await proven(order, each, jwk)) ? "valid" : "invalid";
      }
      return send(200, challenge(place.slice(place.indexOf("-") + 1)), json);
    }
    if (what === "finalize") await issue(order, payload.csr);
    if (what === "certificate") {
      own.issued.push({ via, names: order.names, challenges: order.challenges });
      return send(200, order.chain ?? "", { "content-type": "application/pem-certificate-chain" });
    }
    send(200, view(Number(number), order), json);
  }

  const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;
  const handler = (scheme: string) => (request: IncomingMessage, response: ServerResponse) =>
    void answer(request, response, `${scheme}://${request.headers.host}`).catch((error: Error) => {
      response.writeHead(500).end(error.message);
    });
  const plain = createServer(handler("http"));
  const secure = createSecureServer({ key: ownKey, cert: root }, handler("https"));
  await Promise.all([plain, secure].map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))));
  const base = `http://127.0.0.1:${portOf(plain)}`;
  return {
    ...own,
    directory: `${base}/one/dir`,
    otherDirectory: `${base}/other/dir`,
    secureDirectory: `https://127.0.0.1:${portOf(secure)}/one/dir`,
    close() {
      for (const server of [plain, secure]) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}
