import type { Element } from "ltx";
import { read, write } from "../../xmpp-core/storage/statement.ts";
import { TestComponent } from "./component.ts";
import type { TestCore } from "./core.ts";
import type { ManualClock } from "./manual-clock.ts";
import { XmppClient } from "./xmpp-client.ts";

const registered = read<[], { name: string }>("SELECT DISTINCT a.name FROM push p JOIN account a ON a.id = p.account");

/** For `afterEach`: nobody is logged in or registered at `push.localhost` any more, no session waits and no message. */
export async function tidyPush(core: TestCore, clock: ManualClock): Promise<void> {
  XmppClient.dropAll();
  for (const { name } of await core.server.storage.read(registered)) {
    const client = await core.login(name);
    await client.set("<disable xmlns='urn:xmpp:push:0' jid='push.localhost'/>");
    await client.close();
  }
  while (core.server.sessions.size > 0) {
    clock.pass(20 * 60_000);
    await new Promise((next) => setImmediate(next));
  }
  await core.server.storage.write([write<[]>("DELETE FROM offline").with()]);
}

/** One call of an app, as its service got it. */
export interface Call {
  readonly id: string;
  readonly from: string;
  readonly node: string | undefined;
  /** Fields of the summary. */
  readonly summary: Record<string, string>;
  /** Fields of the publish options. */
  readonly options: Record<string, string> | undefined;
}

/** A push service that a test runs as a component, `push.localhost`. XEP-0357 */
export class PushService {
  readonly component: TestComponent;

  private constructor(component: TestComponent) {
    this.component = component;
  }

  static async join(port: number, secret: string): Promise<PushService> {
    return new PushService(await TestComponent.join(port, "push", secret));
  }

  /** The next call, answered: with a result, with an error of this condition, or not at all. */
  async call(answer: "result" | "nothing" | (string & {}) = "result"): Promise<Call> {
    const request = await this.component.next("iq", (iq) => iq.attrs.type === "set" && publishOf(iq) !== undefined);
    const { id, from, to } = request.attrs;
    const back = `id='${id}' from='${to}' to='${from}'`;
    if (answer === "result") this.component.send(`<iq type='result' ${back}/>`);
    else if (answer !== "nothing")
      this.component.send(
        `<iq type='error' ${back}><error type='cancel'><${answer} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
      );
    const pubsub = request.getChild("pubsub");
    const notification = publishOf(request)?.getChild("item")?.getChild("notification", "urn:xmpp:push:0");
    const options = pubsub?.getChild("publish-options")?.getChild("x");
    return {
      ...{ id, from, node: publishOf(request)?.attrs.node },
      summary: fields(notification?.getChild("x")),
      options: options && fields(options),
    };
  }

  /** Proves that nobody was called: everything before this has been handled. */
  async quiet(): Promise<void> {
    await this.component.ping();
    const call = this.component.connection.inbox.find((stanza) => publishOf(stanza) !== undefined);
    if (call !== undefined) throw new Error(`unexpected ${call.toString()}`);
  }

  async leave(): Promise<void> {
    this.component.connection.end();
    await this.component.connection.ended;
  }
}

function publishOf(stanza: Element): Element | undefined {
  return stanza.getChild("pubsub", "http://jabber.org/protocol/pubsub")?.getChild("publish");
}

function fields(form: Element | undefined): Record<string, string> {
  return Object.fromEntries(
    (form?.getChildren("field") ?? []).map((one) => [one.attrs.var, one.getChildText("value") ?? ""]),
  );
}
