import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { catalogueEntries, standingOf } from "../../xmpp-core/properties/catalogue.ts";
import { allProperties } from "../../xmpp-core/server.ts";
import { accountProofs } from "./properties-accounts.ts";
import { adminProofs } from "./properties-admin.ts";
import { authProofs } from "./properties-auth.ts";
import { certificateProofs, closeCertificateStage } from "./properties-certificates.ts";
import { componentProofs } from "./properties-components.ts";
import { loginProofs } from "./properties-login.ts";
import { mobileProofs } from "./properties-mobile.ts";
import { moduleProofs } from "./properties-modules.ts";
import { portalProofs } from "./properties-portal.ts";
import { pubsubProofs } from "./properties-pubsub.ts";
import { roomProofs } from "./properties-rooms.ts";
import { serviceProofs } from "./properties-services.ts";
import { streamProofs } from "./properties-streams.ts";
import { uploadProofs } from "./properties-upload.ts";
import { voiceProofs } from "./properties-voice.ts";
import { webProofs } from "./properties-web.ts";
import { openWorld, type World } from "./properties-world.ts";

// docs/architecture.md: for each declared key, that changing it changes behaviour.
const proofs = {
  ...streamProofs,
  ...moduleProofs,
  ...authProofs,
  ...loginProofs,
  ...adminProofs,
  ...accountProofs,
  ...certificateProofs,
  ...serviceProofs,
  ...roomProofs,
  ...componentProofs,
  ...pubsubProofs,
  ...webProofs,
  ...mobileProofs,
  ...portalProofs,
  ...uploadProofs,
  ...voiceProofs,
};

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterEach(() => world.reset());
afterAll(async () => {
  await closeCertificateStage();
  await world.close();
});

test("every declared property has its proof here, and no proof is left of one that is gone", () => {
  const declared = allProperties().map(({ key }) => key);
  expect(Object.keys(proofs).sort(), "add a proof to test/protocol/properties-*.ts").toEqual(declared.sort());
});

test("of Openfire's properties in what is built, each is honoured or has no effect for a reason", () => {
  const built =
    /^(xmpp\.(offline|proxy|pubsub|pep|socket\.(plain|ssl)\.(active|port)$|client\.(idle|login\.(allowed$|blocked$)|roster)|ratelimit\.newconnections\.(c2s|logging))|stream\.management|register|sasl\.scram-sha-1|adminConsole\.(port|securePort)$|mail\.|(xmpp\.)?httpbind|xmpp\.websocket|log\.httpbind|plugin\.httpfileupload|(xmpp\.)?fqdn$)/;
  const declared = new Set(allProperties().flatMap(({ key, aliases }) => [key, ...aliases]));
  const keys = catalogueEntries().map(({ key }) => key);
  const open = keys.filter((key) => built.test(key) && !declared.has(key) && standingOf(key).is !== "none");
  expect(open).toEqual([]);
  expect(keys.filter((key) => built.test(key)).length).toBeGreaterThan(30);
});

test.each(Object.keys(proofs))("%s", (key) => proofs[key]?.(world));
