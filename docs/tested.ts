/** What the help pages say was tested: xmpp-core/modules/portal/tested.json, from what the tests with real programs kept. */
import type { Proof } from "../xmpp-core/modules/portal/guides/guide.ts";

/** One program on one day, as in test/clients/results.json (its tests) and test/clients/by-eye.json (a person). */
export interface Tested {
  readonly client: string;
  /** As its package names it: `1:153.7.0esr-1~deb12u1`. */
  readonly version: string;
  readonly date: string;
  readonly steps: Readonly<Record<string, string>>;
}

interface Evidence {
  readonly client: string;
  /** For each part of a guide the step that goes through it as the guide says. Coming into a room by a bookmark, say, proves nothing of a menu. */
  readonly by: Readonly<Partial<Record<Proof, string>>>;
}

/** By the name of the guide. */
const evidence: Readonly<Record<string, readonly Evidence[]>> = {
  converse: [{ client: "Converse.js over WebSocket", by: { login: "login" } }],
  dino: [{ client: "Dino", by: { certificate: "refused certificate" } }],
  gajim: [{ client: "Gajim", by: { login: "wizard", host: "wizard", certificate: "wizard" } }],
  pidgin: [{ client: "Pidgin", by: { login: "login", host: "login", certificate: "certificate" } }],
  thunderbird: [{ client: "Thunderbird", by: { login: "login", host: "login", certificate: "certificate" } }],
};

/** The file's text: for each guide with which version, and when, its parts were seen to work. Of two, the later one. */
export function testedPage(all: readonly Tested[]): string {
  const guides = Object.entries(evidence).map(([guide, sources]) => {
    const parts = sources.flatMap(({ client, by }) =>
      all
        .filter((one) => one.client === client)
        .flatMap(({ version, date, steps }) =>
          Object.entries(by)
            .filter(([, step]) => steps[step] === "passed")
            .map(([proof]) => [proof, { version: plain(version), date }] as const),
        ),
    );
    parts.sort(([, one], [, other]) => (one.date < other.date ? -1 : 1));
    return [guide, Object.fromEntries(parts)] as const;
  });
  const seen = guides.filter(([, parts]) => Object.keys(parts).length > 0);
  return `${JSON.stringify(Object.fromEntries(seen), null, 2)}\n`;
}

/** What the program itself shows: without epoch and revision of its package. */
function plain(version: string): string {
  return /^(?:\d+:)?(\d+(?:\.\d+)*)/.exec(version)?.[1] ?? version;
}
