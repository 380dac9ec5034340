import { accountPages } from "./account-pages/account-pages.ts";
import { adHocCommands } from "./ad-hoc-commands.ts";
import { administration } from "./administration/administration.ts";
import { archive } from "./archive/archive.ts";
import { blocking } from "./blocking.ts";
import { bookmarks } from "./bookmarks.ts";
import { captcha } from "./captcha/captcha.ts";
import { carbons } from "./carbons.ts";
import { clientState } from "./client-state/client-state.ts";
import { components } from "./components/components.ts";
import { hostData } from "./components/host-data.ts";
import { contactAddresses } from "./contact-addresses.ts";
import { delegation } from "./delegation.ts";
import { disco } from "./disco.ts";
import { entityTime } from "./entity-time.ts";
import { externalServices } from "./external-services.ts";
import { httpUpload } from "./http-upload/http-upload.ts";
import { interests } from "./interests.ts";
import { invitations } from "./invitations/invitations.ts";
import { lastActivity } from "./last-activity.ts";
import { legacySession } from "./legacy-session.ts";
import { loginDevices } from "./login-devices.ts";
import type { Module } from "./module.ts";
import { multicast } from "./multicast.ts";
import { offline } from "./offline.ts";
import { payloadAddresses } from "./payload-addresses.ts";
import { ping } from "./ping.ts";
import { portal } from "./portal/portal.ts";
import { presence } from "./presence/presence.ts";
import { privacyLists } from "./privacy-lists/privacy-lists.ts";
import { privateStorage } from "./private-storage.ts";
import { privilege } from "./privilege.ts";
import { avatars } from "./profile/avatars.ts";
import { vcard } from "./profile/vcard.ts";
import { pubsub } from "./pubsub/pubsub.ts";
import { push } from "./push/push.ts";
import { registration } from "./registration.ts";
import { reports } from "./reports.ts";
import { rooms } from "./rooms/rooms.ts";
import { roster } from "./roster/roster.ts";
import { search } from "./search/search.ts";
import { serviceOutage } from "./service-outage.ts";
import { sharedGroups } from "./shared-groups/shared-groups.ts";
import { socks5Proxy } from "./socks5-proxy.ts";
import { softwareVersion } from "./software-version.ts";
import { sparkGroups } from "./spark-groups.ts";
import { streamLimits } from "./stream-limits.ts";
import { supervisors } from "./supervisors.ts";
import { virtualPresence } from "./virtual-presence/virtual-presence.ts";
import { webChat } from "./web-chat/web-chat.ts";
import { webPresence } from "./web-presence.ts";

const capabilities: readonly Module[] = [
  legacySession,
  payloadAddresses,
  ping,
  sharedGroups,
  roster,
  presence,
  avatars,
  interests,
  captcha,
  registration,
  invitations,
  accountPages,
  softwareVersion,
  entityTime,
  archive,
  offline,
  carbons,
  clientState,
  push,
  multicast,
  blocking,
  privacyLists,
  reports,
  vcard,
  privateStorage,
  bookmarks,
  rooms,
  pubsub,
  adHocCommands,
  supervisors,
  loginDevices,
  socks5Proxy,
  httpUpload,
  components,
  virtualPresence,
  hostData,
  delegation,
  privilege,
  administration,
  lastActivity,
  contactAddresses,
  streamLimits,
  sparkGroups,
  search,
  serviceOutage,
  externalServices,
  webPresence,
  portal,
  webChat,
];

/** Every capability of the server; features, tables, properties and docs follow from the declarations. */
export const allModules: readonly Module[] = [...capabilities, disco(capabilities)];
