import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import {
  affiliate,
  configure,
  create,
  fetch,
  item,
  ownerRequest,
  publish,
  request,
  subscribe,
} from "../support/pubsub.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0060 §4.1, §4.5: whatever is done in whatever order, a model as small as the tables there says who may what.
const at = "pubsub.localhost";
let core: TestCore;
let owner: XmppClient;
let guest: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["owner", "guest"] });
  owner = await core.login("owner");
  guest = await core.login("guest");
});
afterAll(() => core.close());

const affiliations = ["owner", "publisher", "publish-only", "member", "none", "outcast"] as const;
const accessModels = ["open", "authorize", "whitelist"] as const;
const publishModels = ["open", "publishers", "subscribers"] as const;
interface Model {
  affiliation: (typeof affiliations)[number];
  access: (typeof accessModels)[number];
  publishing: (typeof publishModels)[number];
  state: "none" | "pending" | "subscribed";
}

/** The tables of §4.1 and §4.5 for somebody who is neither the maker of the node nor named for the service. */
const mayRead = ({ affiliation, access, state }: Model): boolean => {
  if (affiliation === "outcast" || affiliation === "publish-only") return false;
  if (affiliation !== "none") return true;
  return access === "open" || (access === "authorize" && state === "subscribed");
};
const mayPublish = ({ affiliation, publishing, state }: Model): boolean => {
  if (affiliation === "outcast") return false;
  if (affiliation === "owner" || affiliation === "publisher" || affiliation === "publish-only") return true;
  return publishing === "open" || (publishing === "subscribers" && state === "subscribed");
};

type Step =
  | { readonly do: "affiliate"; readonly as: Model["affiliation"] }
  | { readonly do: "access"; readonly model: Model["access"] }
  | { readonly do: "publishing"; readonly model: Model["publishing"] }
  | { readonly do: "subscribe" | "unsubscribe" | "approve" };
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("affiliate" as const), as: fc.constantFrom(...affiliations) }),
  fc.record({ do: fc.constant("access" as const), model: fc.constantFrom(...accessModels) }),
  fc.record({ do: fc.constant("publishing" as const), model: fc.constantFrom(...publishModels) }),
  fc.record({ do: fc.constantFrom("subscribe" as const, "unsubscribe" as const, "approve" as const) }),
);

async function take(step: Step, node: string, model: Model): Promise<void> {
  switch (step.do) {
    case "affiliate":
      await affiliate(owner, at, node, { "guest@localhost": step.as });
      model.affiliation = step.as;
      if (step.as === "outcast") model.state = "none";
      return;
    case "access":
      await configure(owner, at, node, { access_model: step.model });
      model.access = step.model;
      return;
    case "publishing":
      await configure(owner, at, node, { publish_model: step.model });
      model.publishing = step.model;
      return;
    case "subscribe": {
      const answer = await subscribe(guest, at, node);
      const named = ["owner", "publisher", "member"].includes(model.affiliation);
      const may = named || (model.affiliation === "none" && model.access !== "whitelist");
      expect(answer.attrs.type).toBe(may && model.state !== "pending" ? "result" : "error");
      if (may && model.state === "none")
        model.state = model.access === "authorize" && !named ? "pending" : "subscribed";
      return;
    }
    case "unsubscribe": {
      const answer = await guest.set(request(`<unsubscribe node='${node}' jid='guest@localhost'/>`), at);
      expect(answer.attrs.type).toBe(model.state === "none" ? "error" : "result");
      model.state = "none";
      return;
    }
    case "approve":
      if (model.state !== "pending") return;
      await owner.set(
        ownerRequest(
          `<subscriptions node='${node}'><subscription jid='guest@localhost' subscription='subscribed'/></subscriptions>`,
        ),
        at,
      );
      model.state = "subscribed";
  }
}

test("who may read and publish is what the tables say after any steps", async () => {
  let nodes = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 8 }), async (story) => {
      const node = `model-${++nodes}`;
      await create(owner, at, node);
      const model: Model = { affiliation: "none", access: "open", publishing: "publishers", state: "none" };
      for (const step of story) {
        await take(step, node, model);
        const read = (await fetch(guest, at, node)).attrs.type === "result";
        const published = (await publish(guest, at, node, item("a"))).attrs.type === "result";
        expect({ ...model, read, published }).toEqual({ ...model, read: mayRead(model), published: mayPublish(model) });
      }
    }),
    { numRuns: 40 },
  );
});
