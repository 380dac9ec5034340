"""Sends one message with a security label by slixmpp's own plugin and prints the label as slixmpp wrote it, as JSON."""
import json
import ssl
import sys

import slixmpp


class Sender(slixmpp.ClientXMPP):
    def __init__(self, order):
        super().__init__(order["jid"], order["password"])
        self.order = order
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        for plugin in ("xep_0199", "xep_0258"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)
        for name in ("failed_auth", "connection_failed", "stream_error"):
            self.add_event_handler(name, lambda reason, name=name: self.fail(name, reason))

    def fail(self, name, reason):
        print(f"{name}: {reason}", file=sys.stderr)
        self.loop.stop()

    async def started(self, _):
        try:
            await self.send_label()
        finally:
            self.loop.stop()

    async def send_label(self):
        message = self.make_message(mto=self.order["to"], mbody="labelled", mtype="chat")
        label = message["security_label"]
        label["display_marking"]["value"] = "FOR <OUR> EYES – & only"
        label["display_marking"]["fgcolor"] = "red"
        # Its setter makes bytes, which slixmpp then cannot write.
        label["label"]["ess"].xml.text = "MQYCAQIGASk="
        message.send()
        await self["xep_0199"].send_ping(self.boundjid.host)
        print(json.dumps({"label": str(label)}), flush=True)


order = json.loads(sys.stdin.readline())
sender = Sender(order)
sender.connect(address=(order["host"], order["port"]), force_starttls=True, disable_starttls=False)
sender.loop.run_forever()
