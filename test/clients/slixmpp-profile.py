"""
A person with slixmpp who sets picture (by vCard) and nickname, or tells as JSON lines which ones it sees of whom, by PEP
and by vCard.
"""
import base64
import hashlib
import json
import logging
import ssl
import sys

import slixmpp


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Looker(slixmpp.ClientXMPP):
    def __init__(self, jid, password, photo=None, nick=None):
        super().__init__(jid, password)
        self.own_photo = photo
        self.own_nick = nick
        # The server under test signs its own certificate.
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        for plugin in ("xep_0030", "xep_0115", "xep_0163", "xep_0054", "xep_0084", "xep_0153", "xep_0172"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("avatar_metadata_publish", self.avatar)
        self.add_event_handler("user_nick_publish", self.nick)

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        if self.own_photo:
            await self["xep_0153"].set_avatar(avatar=base64.b64decode(self.own_photo), mtype="image/png")
        if self.own_nick:
            await self["xep_0172"].publish_nick(self.own_nick)
        tell("online", jid=str(self.boundjid))

    def nick(self, message):
        item = message["pubsub_event"]["items"]["item"]
        tell("nick", sender=message["from"].bare, nick=item["nick"]["nick"])

    async def avatar(self, message):
        sender = message["from"].bare
        info = message["pubsub_event"]["items"]["item"]["avatar_metadata"]["info"]
        iq = await self["xep_0084"].retrieve_avatar(sender, info["id"])
        data = iq["pubsub"]["items"]["item"]["avatar_data"]["value"]
        card = await self["xep_0054"].get_vcard(sender)
        photo = card["vcard_temp"]["PHOTO"]["BINVAL"]
        tell("avatar", sender=sender, pep=hashlib.sha1(data).hexdigest(), vcard=hashlib.sha1(photo).hexdigest())


def main():
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    login = json.loads(sys.stdin.readline())
    looker = Looker(login["jid"], login["password"], login.get("photo"), login.get("nick"))
    looker.connect(address=(login["host"], login["port"]), force_starttls=True, disable_starttls=False)

    def end():
        looker.loop.remove_reader(sys.stdin)
        looker.disconnect()
        looker.loop.call_later(1, looker.loop.stop)

    looker.loop.add_reader(sys.stdin, end)
    looker.loop.run_forever()


main()
