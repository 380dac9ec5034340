/** Is this an Openfire that we can drive? Without credentials first, so that each answer names one cause. */
import { CodedError } from "../../errors.ts";
import type { Rest } from "./rest.ts";

export type Versions = {
  /** `5.1.1`; undefined where the console does not tell. */
  readonly openfire: string | undefined;
  readonly plugin: string;
};

const leastOpenfire = [5, 0] as const;
const leastPlugin = [1, 12] as const;

/**
 * The versions of Openfire (its login page tells) and of the plugin (its own description does; both are read without
 * credentials). Throws `target/unsupported-version`, `openfire/no-plugin`, `openfire/not-set-up`, `target/lost`.
 */
export async function versionsOf(rest: Rest): Promise<Versions> {
  const openfire = await openfireVersion(rest);
  if (openfire !== undefined && older(openfire, leastOpenfire))
    throw new CodedError("target/unsupported-version", `This is Openfire ${openfire}; 5.0 or newer is needed.`, {
      fields: { version: openfire },
      hint: "Upgrade Openfire, or serve the domain by our own core.",
    });
  const { status, text } = await rest.page("/plugins/restapi/v1/openapi.yaml");
  const plugin = /^\s*version:\s*["']?([0-9][0-9A-Za-z.-]*)/m.exec(text)?.[1];
  if (status !== 200 || plugin === undefined) throw noPlugin(status, rest.url.origin);
  // Its 1.12 loads in Openfire 5.0 and newer only, so it also answers for a server that does not tell its version.
  if (older(plugin, leastPlugin))
    throw new CodedError(
      "target/unsupported-version",
      `The REST API plugin of this Openfire is ${plugin}; 1.12 or newer is needed.`,
      { fields: { version: plugin }, hint: "In the console, Plugins: update REST API." },
    );
  return { openfire, plugin };
}

async function openfireVersion(rest: Rest): Promise<string | undefined> {
  const { status, text } = await rest.page("/login.jsp");
  if (status === 302 && /setup/.test(text))
    throw new CodedError("openfire/not-set-up", "This Openfire has not been set up yet.", {
      hint: `Finish its setup at ${rest.url.origin}.`,
    });
  return /id="jive-loginVersion"[^>]*>[^<]*?(\d+\.\d+[0-9A-Za-z.-]*)/.exec(text)?.[1];
}

function noPlugin(status: number, origin: string): CodedError {
  return new CodedError("openfire/no-plugin", `There is no REST API plugin at ${origin} (${status}).`, {
    fields: { status },
    hint: "In the console, Plugins > Available Plugins: install REST API. If this is not Openfire's admin console, correct FIREKEEPER_OPENFIRE_URL.",
  });
}

function older(version: string, [major, minor]: readonly [number, number]): boolean {
  const [is = 0, its = 0] = version.split(/[.-]/).map(Number);
  return is < major || (is === major && its < minor);
}
