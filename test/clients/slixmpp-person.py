"""A person with slixmpp: orders come as JSON lines on standard input, what happens goes out the same way."""
import json
import logging
import ssl
import sys

import slixmpp


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Person(slixmpp.ClientXMPP):
    def __init__(self, jid, password, room=None):
        super().__init__(jid, password)
        self.room = room
        # The server under test signs its own certificate.
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        for plugin in ("xep_0030", "xep_0045", "xep_0115", "xep_0198", "xep_0199", "xep_0280", "xep_0313"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", self.message)
        self.add_event_handler("roster_update", lambda _: self.tell_roster())
        self.add_event_handler("changed_status", self.presence)
        self.add_event_handler("session_resumed", lambda _: tell("resumed"))
        for name in ("disconnected", "failed_auth", "connection_failed", "stream_error"):
            self.add_event_handler(name, lambda reason, name=name: tell(name, reason=str(reason)))

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        self.tell_roster()
        if self.room:
            self["xep_0045"].join_muc(self.room["address"], self.room["nick"])
        # The answer comes behind the presence: from here on messages to the bare address reach this session.
        await self["xep_0199"].send_ping(self.boundjid.host)
        tell("online", jid=str(self.boundjid))

    def message(self, message):
        if message["type"] in ("chat", "normal", "groupchat") and message["body"]:
            tell("message", sender=message["from"].bare, body=message["body"])

    def presence(self, presence):
        tell("presence", sender=presence["from"].bare, show=presence["show"])

    async def archive(self, contact):
        iq = await self["xep_0313"].retrieve(with_jid=contact)
        for result in iq["mam"]["results"]:
            message = result["mam_result"]["forwarded"]["stanza"]
            tell("archived", sender=message["from"].bare, body=message["body"])

    def tell_roster(self):
        contacts = {
            jid: {"groups": self.client_roster[jid]["groups"], "subscription": self.client_roster[jid]["subscription"]}
            for jid in self.client_roster.keys()
        }
        tell("roster", contacts=contacts)


def main():
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    login = json.loads(sys.stdin.readline())
    person = Person(login["jid"], login["password"], login.get("room"))
    # Without an address it asks DNS for the domain's records.
    address = (login["host"], login["port"]) if "host" in login else tuple()
    person.connect(address=address, force_starttls=True, disable_starttls=False)

    def order():
        line = sys.stdin.readline()
        if not line:
            person.loop.remove_reader(sys.stdin)
            person.disconnect()
            person.loop.call_later(2, person.loop.stop)
            return
        wish = json.loads(line)
        if wish["do"] == "say":
            person.send_message(mto=wish["to"], mbody=wish["body"], mtype=wish["kind"])
        if wish["do"] == "archive":
            person.loop.create_task(person.archive(wish["with"]))

    person.loop.add_reader(sys.stdin, order)
    person.loop.run_forever()


main()
