import { expect, test } from "vitest";
import {
  booleanOf,
  type DataForm,
  field,
  formElement,
  formIn,
  parseForm,
  singleValueOf,
  valuesOf,
} from "../../xmpp-core/formats/data-form.ts";
import { delayElement, formatDate, parseDate, parseDelay } from "../../xmpp-core/formats/delay.ts";
import { embedded, forwardedElement } from "../../xmpp-core/formats/forwarded.ts";
import { hasHint, hintElement, hints } from "../../xmpp-core/formats/hints.ts";
import { ns } from "../../xmpp-core/formats/namespaces.ts";
import { pageElement, parsePageRequest } from "../../xmpp-core/formats/rsm.ts";
import {
  errorElement,
  errorReply,
  isStanzaError,
  parseStanzaError,
  stanzaError,
  stanzaErrorTypes,
} from "../../xmpp-core/formats/stanza-error.ts";
import { streamError, streamErrorConditions, streamErrorElement } from "../../xmpp-core/formats/stream-error.ts";
import { parseDocument, parseStanza } from "../../xmpp-core/xml/document.ts";
import { limitsAfterLogin } from "../../xmpp-core/xml/limits.ts";
import { x } from "../../xmpp-core/xml/writer.ts";

const element = (xml: string) => parseDocument(xml, limitsAfterLogin);
const stanza = (xml: string) => parseStanza(xml, ns.client, limitsAfterLogin);

test("each namespace has one name", () => {
  const all = Object.values(ns);
  expect(new Set(all).size).toBe(all.length);
});

test("an error has the type that RFC 6120 §8.3.3 gives its condition, unless told otherwise", () => {
  expect(stanzaError("item-not-found")).toMatchObject({ condition: "item-not-found", type: "cancel" });
  expect(stanzaError("resource-constraint").type).toBe("wait");
  expect(stanzaError("policy-violation", { type: "wait" }).type).toBe("wait");
  expect(Object.keys(stanzaErrorTypes)).toHaveLength(22);
  expect(isStanzaError(stanzaError("gone"))).toBe(true);
  expect([undefined, null, "gone", { condition: "gone" }].some(isStanzaError)).toBe(false);
});

test("an error reply goes back without the payload", () => {
  const request = stanza("<iq type='get' id='1&apos;' to='dom' from='a@dom/x'><query xmlns='jabber:iq:version'/></iq>");
  const error = stanzaError("not-acceptable", {
    text: "a < b",
    application: x("blocked", { xmlns: ns.blockingErrors }),
  });
  const reply = errorReply(request, error);
  expect(reply).toBe(
    `<iq type="error" id="1&apos;" from="dom" to="a@dom/x"><error type="modify"><not-acceptable xmlns="${ns.stanzaErrors}"/>` +
      `<text xmlns="${ns.stanzaErrors}" xml:lang="en">a &lt; b</text><blocked xmlns="${ns.blockingErrors}"/></error></iq>`,
  );
  expect(parseStanzaError(stanza(String(reply)))).toEqual(error);
  expect(errorReply(request, error, { from: undefined, to: "b" })).toMatch(/^<iq type="error" id="1&apos;" to="b">/);
});

test("errors and results are never answered with an error", () => {
  const error = stanzaError("bad-request");
  expect(errorReply(stanza("<message type='error'/>"), error)).toBeUndefined();
  expect(errorReply(stanza("<iq type='result' id='1'/>"), error)).toBeUndefined();
  expect(errorReply(stanza("<presence/>"), error)).toMatch(/^<presence type="error">/);
});

test("errors of others are read with care", () => {
  const read = (inside: string) => parseStanzaError(stanza(`<iq type='error'>${inside}</iq>`));
  expect(read("")).toBeUndefined();
  expect(read("<error type='nonsense'/>")).toMatchObject({ condition: "undefined-condition", type: "cancel" });
  expect(read(`<error><toString xmlns='${ns.stanzaErrors}'/></error>`)?.condition).toBe("undefined-condition");
  expect(read(`<error type='modify'><gone xmlns='${ns.stanzaErrors}'>xmpp:b@c</gone></error>`)).toMatchObject({
    condition: "gone",
    type: "modify",
    address: "xmpp:b@c",
  });
  expect(errorElement(stanzaError("gone", { address: "xmpp:b@c" }))).toContain(">xmpp:b@c</gone>");
});

test("stream errors", () => {
  expect(streamErrorElement(streamError("policy-violation", { text: "too & much" }))).toBe(
    `<stream:error><policy-violation xmlns="${ns.streamErrors}"/><text xmlns="${ns.streamErrors}" xml:lang="en">too &amp; much</text></stream:error>`,
  );
  expect(streamErrorElement(streamError("see-other-host", { host: "[::1]:5222" }))).toContain(
    ">[::1]:5222</see-other-host>",
  );
  expect(streamErrorConditions).toHaveLength(25);
});

test("a data form survives being written and read", () => {
  const form: DataForm = {
    type: "form",
    formType: "urn:x",
    title: "T & t",
    instructions: "Do",
    fields: [
      {
        name: "a",
        type: "list-multi",
        label: "A",
        description: "which",
        required: true,
        values: ["1", "2"],
        options: [{ label: "One", value: "1" }, { value: "2" }],
      },
      { type: "fixed", values: ["note"], required: false },
    ],
    reported: [{ name: "r", type: "jid-single", values: [], required: false }],
    items: [[{ name: "r", values: ["x@y"], required: false }]],
  };
  expect(parseForm(element(formElement(form)))).toEqual(form);
});

test("a form to submit carries values in their canonical spelling", () => {
  const xml = formElement({
    type: "submit",
    formType: ns.archive,
    fields: [field("a", true), field("b", 5), field("c", ["x", "y"])],
  });
  expect(xml).toBe(
    `<x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE"><value>urn:xmpp:mam:2</value></field><field var="a"><value>1</value></field>` +
      `<field var="b"><value>5</value></field><field var="c"><value>x</value><value>y</value></field></x>`,
  );
  const form = formIn(element(`<query xmlns='u'>${xml}</query>`));
  if (form === undefined) throw new Error("no form");
  expect(form.formType).toBe(ns.archive);
  expect([booleanOf(form, "a"), booleanOf(form, "b"), booleanOf(form, "z")]).toEqual([true, undefined, undefined]);
  expect([singleValueOf(form, "b"), singleValueOf(form, "c"), valuesOf(form, "c"), valuesOf(form, "z")]).toEqual([
    "5",
    undefined,
    ["x", "y"],
    [],
  ]);
});

test("what is no form is none", () => {
  expect(parseForm(element("<x xmlns='jabber:x:data' type='toString'/>"))).toBeUndefined();
  expect(parseForm(element("<x xmlns='urn:other' type='form'/>"))).toBeUndefined();
  expect(formIn(element("<query xmlns='u'><x xmlns='v' type='form'/></query>"))).toBeUndefined();
  const odd = parseForm(
    element("<x xmlns='jabber:x:data' type='submit'><field var='a' type='odd'><value>false</value></field></x>"),
  );
  expect(odd?.fields[0]?.type).toBeUndefined();
  expect(odd && booleanOf(odd, "a")).toBe(false);
});

test.each([
  ["<max>10</max><after>x</after>", { max: 10, after: "x" }],
  ["<max>0</max>", { max: 0 }],
  ["<before/>", { before: "" }],
  ["<index>371</index>", { index: 371 }],
  ["", {}],
  ["<max>ten</max>", "malformed"],
  ["<max>-1</max>", "malformed"],
  ["<index/>", "malformed"],
])("result pages: %s", (inside, request) =>
  expect(parsePageRequest(element(`<query xmlns='u'><set xmlns='${ns.rsm}'>${inside}</set></query>`))).toEqual(request),
);

test("result pages are told", () => {
  expect(parsePageRequest(element("<query xmlns='u'/>"))).toBeUndefined();
  expect(pageElement({ first: "a&", last: "b", index: 0, count: 2 })).toBe(
    `<set xmlns="${ns.rsm}"><first index="0">a&amp;</first><last>b</last><count>2</count></set>`,
  );
  expect(pageElement({ count: 0 })).toBe(`<set xmlns="${ns.rsm}"><count>0</count></set>`);
});

test.each([
  ["2002-09-10T23:08:25Z", "2002-09-10T23:08:25.000Z"],
  ["2002-09-10T23:08:25.1Z", "2002-09-10T23:08:25.100Z"],
  ["2002-09-10T23:08:25.123456Z", "2002-09-10T23:08:25.123Z"],
  ["1969-07-20T21:56:15-05:00", "1969-07-21T02:56:15.000Z"],
  ["2002-09-10", undefined],
  ["2002-09-10T23:08:25", undefined],
  ["2002-02-30T23:08:25Z", undefined],
  ["2002-09-10T25:08:25Z", undefined],
  ["2002-09-10 23:08:25Z", undefined],
  ["20020910T23:08:25", undefined],
  ["", undefined],
])("XEP-0082: %j is %j", (text, moment) => {
  const date = parseDate(text);
  expect(date && formatDate(date)).toBe(moment);
});

test("delay stamps", () => {
  const delay = { stamp: new Date(0), from: "dom", reason: "Offline & away" };
  expect(delayElement(delay)).toBe(
    '<delay xmlns="urn:xmpp:delay" from="dom" stamp="1970-01-01T00:00:00.000Z">Offline &amp; away</delay>',
  );
  expect(parseDelay(element(delayElement(delay)))).toEqual(delay);
  expect(parseDelay(element(delayElement({ stamp: delay.stamp })))).toEqual({ stamp: delay.stamp });
  expect(parseDelay(element("<delay xmlns='urn:xmpp:delay' stamp='yesterday'/>"))).toBeUndefined();
});

test("a forwarded stanza keeps its namespace", () => {
  const message = stanza("<message from='evil' to='b@c'><body>hi</body></message>");
  expect(forwardedElement(embedded(message, { from: "a@c/x" }), { stamp: new Date(0) })).toBe(
    '<forwarded xmlns="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay" stamp="1970-01-01T00:00:00.000Z"/>' +
      '<message xmlns="jabber:client" to="b@c" from="a@c/x"><body>hi</body></message></forwarded>',
  );
  expect(embedded(stanza("<presence/>"))).toBe('<presence xmlns="jabber:client"/>');
});

test("hints are seen and written", () => {
  for (const hint of hints) {
    expect(hasHint(stanza(`<message>${hintElement(hint)}</message>`), hint)).toBe(true);
    expect(hasHint(stanza(`<message><${hint}/></message>`), hint)).toBe(false);
  }
});
