"""
Goes through Gajim's account wizard by its accessibility tree, as somebody does who cannot see the screen. The account comes
as a JSON line on standard input.
"""
import json
import sys
import time

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402

PATIENCE = 60


def tree(node, depth=0):
    yield node, depth
    for index in range(node.get_child_count()):
        child = node.get_child_at_index(index)
        if child is not None:
            yield from tree(child, depth + 1)


def nodes():
    desktop = Atspi.get_desktop(0)
    for index in range(desktop.get_child_count()):
        application = desktop.get_child_at_index(index)
        if application is not None:
            yield from tree(application)


def shown(role, name=None):
    found = []
    try:
        for node, _ in nodes():
            if node.get_role_name() == role and name in (None, node.get_name()):
                states = node.get_state_set()
                if states.contains(Atspi.StateType.SHOWING) and states.contains(Atspi.StateType.SENSITIVE):
                    found.append(node)
    except GLib.Error:
        # A window went away while it was read.
        return []
    return found


def wait(role, name=None, at=0):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = shown(role, name)
        if len(found) > at:
            return found[at]
        time.sleep(0.1)
    for node, depth in nodes():
        print("  " * depth, node.get_role_name(), repr(node.get_name()), file=sys.stderr)
    raise SystemExit(f"no {role} {name}")


def press(role, name):
    wait(role, name).do_action(0)


def main():
    account = json.loads(sys.stdin.readline())
    wait("text", "").set_text_contents(account["address"])
    wait("password text").set_text_contents(account["password"])
    press("check box", "Advanced Settings")
    press("push button", "Log In")
    wait("label", "Hostname")
    wait("text", "", 0).set_text_contents(account["host"])
    wait("text", "", 1).set_text_contents(str(account["port"]))
    press("push button", "Log In")
    # The certificate is self-signed.
    press("check box", "Add to Trusted Certificates")
    press("push button", "Log In")
    wait("label", "Account has been added successfully")
    # While the page slides in, its button does nothing yet.
    while shown("frame", "Account Added"):
        for button in shown("push button", "Connect"):
            button.do_action(0)
        time.sleep(0.5)
    # Without a keyring it forgets the password at once.
    wait("password text").set_text_contents(account["password"])
    press("push button", "Login")


main()
