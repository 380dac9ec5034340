/** What an invitation is given away as. XEP-0379 §3.2, XEP-0401 §5, XEP-0445 §2, RFC 5122 */
import { webAddress } from "../../stream/web-ports.ts";
import type { Invitation, InvitationLinks } from "../account-points.ts";
import type { Core } from "../module.ts";

/** @param view the name of the domain under which it is given away */
export function linksOf(core: Core, invitation: Invitation, token: string, view: string): InvitationLinks {
  const { by, makesAccount, makesContact, name } = invitation;
  const inviter = core.names.absolute(`${by.name}@`, view);
  const web = webAddress(core.properties.get, view);
  // Without a name for the newcomer a client that has an account adds the contact, another one makes an account.
  const uri =
    makesContact && name === undefined
      ? `xmpp:${escaped(inviter)}?roster;preauth=${token}${makesAccount ? ";ibr=y" : ""}`
      : `xmpp:${name === undefined ? "" : `${escaped(name)}@`}${view}?register;preauth=${token}`;
  return { uri, page: web && `${web}/invite/${token}` };
}

/** RFC 5122 §2.2: what a localpart may hold and an address in a link may not. */
function escaped(address: string): string {
  return address.split("@").map(encodeURIComponent).join("@");
}
