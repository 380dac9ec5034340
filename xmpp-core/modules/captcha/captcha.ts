import { property } from "../../properties/property.ts";
import { boolean, text } from "../../properties/text-schema.ts";
import { recentlyUsed } from "../../recently-used.ts";
import { type Answers, challenges } from "../account-points.ts";
import { attempts } from "../attempts.ts";
import { type Core, defineModule } from "../module.ts";
import { plainAnswer, webRoutes } from "../web-points.ts";
import { alphabet, height, picture, width } from "./picture.ts";

const needed = property("firekeeper.register.captcha", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether somebody who makes an account without an invitation must copy letters from a picture first.",
  weakens: (on) => (on ? undefined : "Programs can make accounts where people can."),
});

const question = property("firekeeper.register.question", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "A question whose answer counts as well as the letters of the picture, for people who cannot see it; it needs firekeeper.register.answer.",
});

const answer = property("firekeeper.register.answer", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "The answer to that question; capitals and spaces around it do not count.",
});

const goodForMs = 15 * 60_000;
/** A right answer stays right for so many corrections of the rest of the form. */
const rightAnswers = 5;
const mostOpen = 10_000;
const length = 6;

interface Open {
  readonly letters: string;
  readonly seed: number;
  readonly until: number;
  right: number;
}

/** Letters in a picture, or a question, before an account is made. XEP-0158, XEP-0221 */
export const captcha = defineModule({
  name: "captcha",
  implements: [
    {
      spec: "XEP-0158",
      section: "4",
      version: "1.0.1",
      status: "complete",
      note: "before registration: letters in a picture (ocr) and a question (qa)",
    },
    { spec: "XEP-0221", version: "1.0", status: "complete" },
  ],
  properties: [needed, question, answer],
  start,
});

function start(core: Core) {
  const open = recentlyUsed<string, Open>(mostOpen);
  const admitted = attempts(core, { atOnce: 60, everyMs: 20_000 });

  function still(id: string): Open | undefined {
    const found = open.get(id);
    return found !== undefined && found.until > core.clock.now() ? found : undefined;
  }

  core.offer(challenges, {
    needed: () => core.properties.get(needed),
    pose(remote) {
      if (!admitted(remote)) return undefined;
      const letters = Array.from({ length }, () => letter(core)).join("");
      const id = core.random(16).toString("base64url");
      const seed = core.random(4).readUInt32BE();
      open.set(id, { letters, seed, until: core.clock.now() + goodForMs, right: 0 });
      const asked = core.properties.get(answer) === undefined ? undefined : core.properties.get(question);
      return { id, picture: () => picture(letters, seed), width, height, question: asked };
    },
    judge(id, given) {
      const found = still(id);
      if (found === undefined) return "gone";
      if (isRight(found, given) && ++found.right <= rightAnswers) return "right";
      open.delete(id);
      return "wrong";
    },
    spend: (id) => open.delete(id),
  });

  function isRight({ letters }: Open, given: Answers): boolean {
    const copied = plain(given.letters).toUpperCase();
    if (copied !== "") return copied === letters;
    const expected = core.properties.get(answer);
    if (expected === undefined || core.properties.get(question) === undefined) return false;
    return plain(given.answer) !== "" && plain(given.answer) === plain(expected);
  }

  const none = plainAnswer(404, "There is no such picture, or no longer.");
  core.offer(webRoutes, {
    root: "captcha",
    methods: ["GET"],
    everyOrigin: true,
    answer({ segments: [id, ...more] }) {
      const found = id === undefined || more.length > 0 ? undefined : still(id);
      if (found === undefined) return none;
      return { status: 200, headers: { "content-type": "image/png" }, body: picture(found.letters, found.seed) };
    },
  });
  return undefined;
}

const plain = (given: string | undefined): string => (given ?? "").replaceAll(/\s+/g, "").toLowerCase();

/** Each letter as likely as any other. */
function letter(core: Core): string {
  for (;;) {
    const byte = core.random(1)[0] ?? 255;
    if (byte < 256 - (256 % alphabet.length)) return alphabet[byte % alphabet.length] ?? "";
  }
}
