"""A telephone with slixmpp: says whether somebody looks (XEP-0352) and has itself called (XEP-0357). JSON lines, as slixmpp-person.py."""
import json
import logging
import ssl
import sys

import slixmpp
from slixmpp.xmlstream import ET


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Phone(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        # The server under test signs its own certificate.
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        for plugin in ("xep_0030", "xep_0198", "xep_0199", "xep_0352"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", lambda message: tell("message", body=message["body"]))
        self.add_event_handler("changed_status", lambda presence: tell("presence", show=presence["show"]))
        self.add_event_handler("session_resumed", lambda _: tell("resumed"))

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        await self.ping()
        tell("online", csi=self["xep_0352"].enabled)

    async def ping(self):
        await self["xep_0199"].send_ping(self.boundjid.host)

    async def obey(self, wish):
        if wish["do"] == "inactive":
            self["xep_0352"].send_inactive()
        if wish["do"] == "active":
            self["xep_0352"].send_active()
        if wish["do"] == "push":
            iq = self.make_iq_set()
            iq.append(ET.Element("{urn:xmpp:push:0}enable", {"jid": wish["jid"], "node": "phone"}))
            await iq.send()
        if wish["do"] == "break":
            # As a telephone that has lost its network.
            self.transport.abort()
            return
        if wish["do"] == "back":
            self.come()
            return
        await self.ping()
        tell("done", what=wish["do"])


def main():
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    login = json.loads(sys.stdin.readline())
    phone = Phone(login["jid"], login["password"])
    phone.come = lambda: phone.connect(
        address=(login["host"], login["port"]), force_starttls=True, disable_starttls=False
    )
    phone.come()

    def order():
        line = sys.stdin.readline()
        if not line:
            phone.loop.remove_reader(sys.stdin)
            phone.abort()
            phone.loop.stop()
            return
        phone.loop.create_task(phone.obey(json.loads(line)))

    phone.loop.add_reader(sys.stdin, order)
    phone.loop.run_forever()


main()
