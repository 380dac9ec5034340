import { isIP } from "node:net";
import { z } from "zod";
import { ns } from "../../formats/namespaces.ts";
import { directActive, directPort, fqdn, networkInterface, plainActive, plainPort } from "../../stream/properties.ts";
import { webAddress } from "../../stream/web-ports.ts";
import { localAddresses } from "../local-addresses.ts";
import type { Core } from "../module.ts";
import { discoExtra } from "../points.ts";
import { accountPages, typedServices } from "../web-points.ts";
import type { Leads } from "./dns-lead.ts";

const port = z.int().min(1).max(65_535);

/** /portal.json: what a person or a program must know to use an account here. Fields are only added within a version. */
export const portalDocument = z
  .object({
    version: z.literal(1),
    domain: z.string().describe("What stands behind the @ of every address."),
    address: z.string().describe("The form of an address."),
    client: z.object({
      host: z.string().describe("What to type where a program asks for a server, host or connect server."),
      typeHost: z.boolean().describe("False: DNS leads programs here by the domain alone."),
      dns: z.enum(["srv", "address", "elsewhere", "none", "unknown"]),
      addresses: z.array(z.string()).describe("Addresses from outside, as far as they were told."),
      starttls: z.object({ port }).nullable(),
      directTls: z.object({ port }).nullable(),
      selfSigned: z.boolean().describe("Whether programs ask about the certificate."),
    }),
    web: z.object({
      websocket: z.url().nullable(),
      bosh: z.url().nullable(),
      chat: z.url().nullable().describe("The web chat; null: there is none."),
    }),
    services: z.array(
      z.object({
        kind: z.enum(["rooms", "search", "file-proxy", "uploads"]),
        address: z.string(),
        port: port.optional(),
        mostBytes: z.int().optional().describe("The largest file."),
        keptDays: z.number().optional().describe("Days after which files go."),
      }),
    ),
    registration: z.object({
      open: z.boolean().describe("Whether anybody may make an account over the chat protocol or on a page."),
      page: z.url().nullable(),
    }),
    passwordPage: z.url().nullable(),
    onion: z.string().nullable().describe("The onion service of the client ports."),
    contact: z.record(z.string(), z.array(z.string())).describe("As XEP-0157 has it, without -addresses."),
    guides: z.array(z.object({ client: z.string(), page: z.url().nullable() })),
    certificates: z.url().nullable(),
  })
  .strict();

export type PortalFacts = z.infer<typeof portalDocument>;

/** What the pages say at this moment under one live name. */
export async function portalFacts(
  core: Core,
  leads: Leads,
  view: string,
  own: { readonly guides: readonly string[]; readonly onion: string | undefined },
): Promise<PortalFacts> {
  const { get } = core.properties;
  const web = webAddress(get, view);
  const page = (path: string | undefined): string | null =>
    web === undefined || path === undefined ? null : web + path;
  const pageOf = (kind: string): string | null =>
    page(
      core
        .offered(accountPages)
        .find((one) => one.kind === kind && one.path() !== undefined)
        ?.path(),
    );

  const outside = core.externalAddresses();
  const hosts = [get(fqdn), ...outside.filter((one) => isIP(one) === 0)].filter((one) => one !== undefined);
  const [first = view] = [...hosts, ...outside];
  const starttls = get(plainActive) ? { port: get(plainPort) } : null;
  const directTls = get(directActive) ? { port: get(directPort) } : null;
  const dns = await leads.of(view, {
    hosts,
    addresses: [...outside, ...localAddresses(get(networkInterface)), "127.0.0.1", "::1"],
    port: (starttls ?? directTls)?.port ?? 0,
  });
  const certificate = core.certificates().find(({ name }) => name === view);
  const services = core.offered(typedServices).flatMap((each) => each.services());
  return {
    version: 1,
    domain: view,
    address: `name@${view}`,
    client: {
      host: first,
      typeHost: dns !== "srv" && dns !== "address",
      dns,
      addresses: outside.filter((one) => isIP(one) !== 0),
      starttls,
      directTls,
      selfSigned: certificate?.selfSigned ?? true,
    },
    web: {
      websocket: web === undefined ? null : `${web.replace(/^http/, "ws")}/ws/`,
      bosh: page("/http-bind/"),
      chat: pageOf("web-chat"),
    },
    services: order.flatMap((kind) =>
      services
        .filter((one) => one.kind === kind)
        .map(({ service, ...more }) => ({ ...more, address: core.names.hostName(view, service) })),
    ),
    registration: { open: registrationOpen(core), page: pageOf("register") },
    passwordPage: pageOf("password"),
    onion: own.onion ?? null,
    contact: contacts(core),
    guides: own.guides.map((client) => ({ client, page: page(`/guide/${client}`) })),
    certificates: page("/certificates"),
  };
}

const order = ["rooms", "search", "file-proxy", "uploads"] as const;

/** As strangers are told. */
function registrationOpen(core: Core): boolean {
  return core.offered(discoExtra).some((each) => each.features?.().includes(ns.register) === true);
}

/** XEP-0157 */
function contacts(core: Core): Record<string, string[]> {
  const forms = core.offered(discoExtra).flatMap((each) => each.forms?.() ?? []);
  const fields = forms.filter(({ formType }) => formType === ns.serverInfo).flatMap((form) => form.fields);
  return Object.fromEntries(
    fields.flatMap(({ name, values }) =>
      name?.endsWith("-addresses") ? [[name.slice(0, -"-addresses".length), [...values]]] : [],
    ),
  );
}
