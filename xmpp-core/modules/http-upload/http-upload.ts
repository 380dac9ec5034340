import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { OpenRequest } from "../../routing/handlers.ts";
import { type Core, defineModule } from "../module.ts";
import { type DiscoInfo, serviceDisco } from "../points.ts";
import { typedServices, webRoutes } from "../web-points.ts";
import { offerCommands } from "./commands.ts";
import { openFiles } from "./files.ts";
import {
  days,
  enabled,
  permanentBytes,
  profileBytes,
  serviceName,
  uploadBase,
  uploadProperties,
} from "./properties.ts";
import { reachability } from "./reachability.ts";
import { largestFile, slots } from "./slots.ts";
import { sweep } from "./sweep.ts";
import { uploadMigration } from "./tables.ts";
import { transfers } from "./transfers.ts";

const service = "upload";
const sweepMs = 60_000;

/** Files that people send to each other by way of the server. docs/uploads.md */
export const httpUpload = defineModule({
  name: "http-upload",
  implements: [
    { spec: "XEP-0363", version: "1.2.0", status: "complete", note: "and the requests of versions before 0.3" },
  ],
  properties: uploadProperties as readonly unknown[] as NonNullable<Parameters<typeof defineModule>[0]["properties"]>,
  migrations: [uploadMigration],
  start,
});

function start(core: Core) {
  const { names, properties } = core;
  const key = core.keyFor("upload slots");
  const files = openFiles(core.home, core.clock.now());
  const giving = slots(core, files, key);
  const moving = transfers(core, files, key, giving.filled);
  const sweeping = sweep(core, files, moving.filling);
  const clean = (): void => {
    sweeping.now().catch((error: unknown) => core.report.wrong({ what: "deleting uploaded files", error }));
  };

  core.watch(enabled, (on) => {
    if (!on) return names.closeService(service);
    names.openService(service, { certified: false });
    names.callService(service, properties.get(serviceName));
  });
  core.watch(serviceName, (label) => {
    if (properties.get(enabled)) names.callService(service, label);
  });
  core.every(sweepMs, clean);

  core.offer(webRoutes, {
    root: "upload",
    methods: ["GET", "PUT"],
    everyOrigin: true,
    requestHeaders: ["authorization", "content-type", "range", "if-none-match", "if-range"],
    answer: moving.answer,
  });

  function info(node: string | undefined): DiscoInfo | undefined {
    if (node !== undefined) return undefined;
    const purposes = ["message", "ephemeral"];
    if (properties.get(profileBytes) > 0) purposes.push("profile");
    if (properties.get(permanentBytes) > 0) purposes.push("permanent");
    const largest = largestFile(core);
    const fields = largest === undefined ? [] : [{ name: "max-file-size", values: [String(largest)] }];
    return {
      identities: [{ category: "store", type: "file", name: "HTTP File Upload" }],
      features: [
        ...[ns.discoInfo, ns.discoItems, ns.upload, ns.uploadBefore],
        ...purposes.map((purpose) => `${ns.uploadPurpose}#${purpose}`),
      ],
      forms:
        largest === undefined
          ? []
          : [ns.upload, ns.uploadBefore].map((formType) => ({ type: "result" as const, formType, fields })),
    };
  }
  core.offer(serviceDisco, {
    services: () => (properties.get(enabled) ? [{ service, name: "HTTP File Upload", listed: true }] : []),
    info: (_: OpenRequest, node) => info(node) ?? stanzaError("item-not-found"),
    items: () => ({ items: [] }),
  });
  core.offer(typedServices, {
    services() {
      if (!properties.get(enabled) || uploadBase(core, names.primary.name) === undefined) return [];
      const mostBytes = largestFile(core);
      const keptDays = properties.get(days);
      return [
        {
          ...{ kind: "uploads", service },
          ...(mostBytes !== undefined && { mostBytes }),
          ...(keptDays > 0 && { keptDays }),
        },
      ];
    },
  });
  offerCommands(core, clean);
  const reaching = reachability(core, key);

  clean();

  const at = [`service:${service}`] as const;
  return {
    iq: [
      { get: [ns.upload, "request"] as const, at, open: true as const, answer: giving.answer },
      { get: [ns.uploadBefore, "request"] as const, at, open: true as const, answer: giving.answer },
    ],
    account: {
      removed() {
        // The rows go with the account's; the files behind them once that is on disk.
        setImmediate(clean);
        return [];
      },
    },
    async stop() {
      reaching.stop();
      await Promise.all([moving.stop(), sweeping.stop()]);
    },
  };
}
