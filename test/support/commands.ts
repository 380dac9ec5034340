import { type Element, escapeXML } from "ltx";
import type { XmppClient } from "./xmpp-client.ts";

/** One step of an ad-hoc command (XEP-0050), with a form to submit or without. */
export function command(
  client: XmppClient,
  node: string,
  fields?: Record<string, readonly string[]>,
  id = "",
): Promise<Element> {
  const field = ([name, values]: [string, readonly string[]]) =>
    `<field var='${name}'>${values.map((value) => `<value>${escapeXML(value)}</value>`).join("")}</field>`;
  const form =
    fields === undefined
      ? ""
      : `<x xmlns='jabber:x:data' type='submit'>${Object.entries(fields).map(field).join("")}</x>`;
  const session = id === "" ? "" : ` sessionid='${id}'`;
  return client.set(
    `<command xmlns='http://jabber.org/protocol/commands' node='${node}' action='execute'${session}>${form}</command>`,
    client.where.domain,
  );
}

/** Asks for a command's form, fills it in and submits it, as a client does. */
export async function runCommand(
  client: XmppClient,
  node: string,
  fields: Record<string, readonly string[]>,
): Promise<Element> {
  const first = await command(client, node);
  const step = first.getChild("command");
  if (step?.attrs.status !== "executing") throw new Error(`no form: ${first.toString()}`);
  const offered = formFields(first);
  for (const name of Object.keys(fields))
    if (!offered.has(name)) throw new Error(`no field ${name}: ${first.toString()}`);
  return command(client, node, fields, step.attrs.sessionid);
}

/** The fields of the form that an answer holds, each with its values. */
export function formFields(answer: Element): Map<string, string[]> {
  const form = answer.getChild("command")?.getChild("x", "jabber:x:data");
  return new Map(
    form?.getChildren("field").map((one) => [one.attrs.var, one.getChildren("value").map((value) => value.getText())]),
  );
}

export const commandNote = (answer: Element): string => answer.getChild("command")?.getChildText("note") ?? "";
export const commandStatus = (answer: Element): string => answer.getChild("command")?.attrs.status ?? "";

/** The text of a stanza error; "" without one. */
export const explained = (answer: Element): string =>
  answer.getChild("error")?.getChildText("text", "urn:ietf:params:xml:ns:xmpp-stanzas") ?? "";
