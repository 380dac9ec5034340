"""A person with slixmpp who uploads a file as its plugin for XEP-0363 does, and tells its address as a JSON line."""
import asyncio
import json
import logging
import ssl
import sys

import slixmpp
from slixmpp.plugins.xep_0363.http_upload import FileTooBig


class Sender(slixmpp.ClientXMPP):
    def __init__(self, jid, password, path):
        super().__init__(jid, password)
        self.path = path
        # The server under test signs its own certificate.
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        for plugin in ("xep_0030", "xep_0128", "xep_0363"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)

    async def started(self, _):
        try:
            # What the plugin does by itself fails on Python 3.11 in this version.
            plugin = self["xep_0363"]
            info = await self["xep_0030"].get_info(jid=f"upload.{self.boundjid.domain}")
            plugin.upload_service = info["from"]
            for form in info["disco_info"].iterables:
                values = form["values"]
                if values["FORM_TYPE"] == ["urn:xmpp:http:upload:0"]:
                    plugin.max_file_size = int(values["max-file-size"])
            url = await self["xep_0363"].upload_file(self.path, timeout=20)
            print(json.dumps({"url": url}), flush=True)
        except FileTooBig as error:
            print(json.dumps({"tooBig": str(error)}), flush=True)
        except Exception as error:
            print(json.dumps({"failed": repr(error)}), flush=True)
        self.disconnect()


def main():
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    login = json.loads(sys.stdin.readline())
    sender = Sender(login["jid"], login["password"], login["path"])
    sender.connect(address=(login["host"], login["port"]), force_starttls=True, disable_starttls=False)
    asyncio.get_event_loop().run_until_complete(sender.disconnected)


main()
