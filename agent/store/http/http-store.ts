/** A host application that serves its settings, roles and users as JSON over HTTP. docs/stores/http.md. */
import { explain, type Notice } from "../../errors.ts";
import { StoreError, systemClock } from "../host-store.ts";
import type { StorePlace } from "../place.ts";
import { type HostRecords, openRecordStore, type RecordSource } from "../record-store.ts";
import { hostClient } from "./client.ts";
import { type HttpConfiguration, readHttpConfiguration } from "./configuration.ts";
import { lookout } from "./look-again.ts";
import { hostReader } from "./read-host.ts";
import { listenWebhook, type Webhook } from "./webhook.ts";
import { writePassword } from "./write-back.ts";

export interface HttpStoreOptions {
  readonly home: string;
  readonly onProgress?: (done: number, of: number) => void;
}

/**
 * Opens the store at `place.at` (`https://…`) as `place.config` says. Reads nothing yet, and listens for the webhook only
 * while it is watched. Throws `store/config`.
 */
export async function openHttpStore(place: StorePlace, options: HttpStoreOptions) {
  const configuration = await readHttpConfiguration(place);
  // A secret that is missing is better known at the start.
  await configuration.authorization();
  await configuration.webhook?.secret();
  const { source, close } = httpSource(configuration);
  try {
    const store = await openRecordStore(source, options);
    return { store, created: undefined, close: () => store.kept().then(close) };
  } catch (error) {
    await close();
    throw error;
  }
}

function httpSource(configuration: HttpConfiguration): { source: RecordSource; close(): Promise<void> } {
  const { place, passwordWrite } = configuration;
  const client = hostClient(configuration);
  const feeds = lookout(client, configuration);
  const readHost = hostReader(client, configuration, systemClock.sleep);
  const describe = () => `the host at ${place}`;
  let last: { readonly tag: string; readonly records: HostRecords; readonly told: string } | undefined;
  let waiting: { readonly until: number; readonly error: StoreError } | undefined;

  const hook = configuration.webhook && webhookWhileWatched(configuration.webhook, feeds.look, configuration.pollMs);

  const notices = (): Notice[] => [...configuration.warnings, ...feeds.notices(), ...(hook?.notices() ?? [])];

  /** Also when nothing changed, if there is something else to tell. */
  async function read(known: string | undefined) {
    const answer = await readHost(known);
    const own = notices();
    const told = JSON.stringify(own);
    if (answer === "unchanged" && (last?.told === told || !last)) return "unchanged" as const;
    const { tag, records } = answer === "unchanged" && last ? last : (answer as Exclude<typeof answer, "unchanged">);
    last = { tag, records, told };
    return { tag, records: { ...records, warnings: [...records.warnings, ...own] } };
  }

  const source: RecordSource = {
    kind: "http",
    describe,
    async read(known) {
      if (waiting && Date.now() < waiting.until) throw waiting.error;
      try {
        const answer = await read(known);
        waiting = undefined;
        feeds.succeeded();
        return answer;
      } catch (error) {
        const asked = error instanceof StoreError ? error.fields.waitMs : undefined;
        const waitMs = typeof asked === "number" ? asked : undefined;
        waiting = error instanceof StoreError && waitMs ? { until: Date.now() + waitMs, error } : undefined;
        feeds.failed(waitMs);
        throw error;
      }
    },
    watch(lookAgain) {
      const stopFeeds = feeds.watch(lookAgain);
      const stopHook = hook?.listen();
      return async () => {
        await stopFeeds();
        await stopHook?.();
      };
    },
    ...(passwordWrite
      ? {
          takes: (change) => change.kind === "user-password",
          async write(change) {
            if (change.kind !== "user-password")
              throw new StoreError("store/read-only", `${describe()} takes new passwords only.`, {
                hint: "Change it where it is managed.",
              });
            return writePassword(client, passwordWrite, change);
          },
        }
      : {}),
  };
  return {
    source,
    async close() {
      client.close();
    },
  };
}

/** The listener; a port that cannot be had is a notice and is tried again, since the host is asked regularly anyway. */
function webhookWhileWatched(
  webhook: NonNullable<HttpConfiguration["webhook"]>,
  look: (cause: string) => void,
  retryMs: number,
) {
  let notice: Notice | undefined;
  const refused = (why: string) => {
    notice = {
      code: "store/webhook-refused",
      message: `A call of the webhook ${webhook.path} was refused: ${why}`,
      hint: "docs/stores/http.md shows how a call is signed. The notice goes with the next call that is.",
    };
  };
  const called = () => {
    notice = undefined;
    look("the host called the webhook");
  };
  return {
    notices: () => (notice ? [notice] : []),
    listen(): () => Promise<void> {
      let listener: Webhook | undefined;
      let retry: NodeJS.Timeout | undefined;
      let stopped = false;
      const attempt = async (): Promise<void> => {
        try {
          listener = await listenWebhook({ ...webhook, called, refused });
          notice = undefined;
          if (stopped) await listener.close();
        } catch (error) {
          if (!(error instanceof StoreError) || stopped) return;
          notice = { code: error.code, message: error.message, hint: error.hint ?? explain(error) };
          retry = setTimeout(() => {
            opening = attempt();
          }, retryMs);
          retry.unref();
          look("the webhook cannot listen");
        }
      };
      let opening = attempt();
      return async () => {
        stopped = true;
        clearTimeout(retry);
        await opening;
        await listener?.close();
      };
    },
  };
}
