"""Datagrams with forged senders: each from another address of this machine's loopback network (ip(7), IP_PKTINFO).

All leave through one socket, and what is answered comes back to it, for every address in 127.0.0.0/8 is this machine.
"""

import socket
import struct
from typing import Any

from ...engine import Reactor
from .crowd import CATCH_UP_SECONDS, NOTHING, RAISE, TICK_SECONDS, Plan
from .target import Target
from .words import Words

PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Python names it from 3.14 on; the number is Linux's
INFO = struct.Struct("=i4s4s")
FIRST = 0x7F010001  # 127.1.0.1: clear of those that servers use
DATAGRAM_BYTES = 1 << 16


class Spoofers:
    """As many senders as the plan has clients, in turn, and as many datagrams a second as its rate."""

    def __init__(self, reactor: Reactor, target: Target, words: Words, plan: Plan) -> None:
        self.reactor = reactor
        self.plan = plan
        self.request = words.request
        self.server = (target.address.host, target.address.port)
        self.sent = 0
        self.answered = 0
        self.unable = ""
        self.over = False
        self._credit = 0.0
        self._ticked = 0.0
        self._channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._channel.setblocking(False)
        self._channel.bind(("0.0.0.0", 0))

    def begin(self) -> None:
        """Have the first speak."""
        self.reactor.watch(self._channel.fileno(), self._hear)
        self._ticked = self.reactor.platform.now()
        self._tick()

    def end(self) -> None:
        """Say nothing more, and hear nothing."""
        if not self.over:
            self.over = True
            self.reactor.unwatch(self._channel.fileno())
            self._channel.close()

    def seen(self) -> dict[str, Any]:
        """Return what is told of it while it goes on."""
        senders = min(self.sent, self.plan.clients)
        return {"alive": senders, "started": senders, "peak": senders, "outcomes": {}, "unable": self.unable}

    def figures(self) -> dict[str, Any]:
        """Return all of it for a report."""
        return {**NOTHING, **self.seen(), "asked": self.sent, "answered": self.answered, "returns": True}

    def _tick(self) -> None:
        if self.over:
            return
        now = self.reactor.platform.now()
        self._credit += self.plan.rate * min(CATCH_UP_SECONDS, now - self._ticked)
        self._ticked = now
        while self._credit >= 1 and self._speak():
            self._credit -= 1
        self._credit = min(self._credit, 1.0)  # what the kernel does not take now is not saved up
        self.reactor.after(TICK_SECONDS, self._tick)

    def _speak(self) -> bool:
        sender = (FIRST + self.sent % self.plan.clients).to_bytes(4, "big")
        ancillary = [(socket.IPPROTO_IP, PKTINFO, INFO.pack(0, sender, b""))]
        try:
            self._channel.sendmsg((self.request,), ancillary, 0, self.server)
        except (BlockingIOError, ConnectionRefusedError):  # the second tells of an earlier one
            return False
        except OSError as error:
            self.unable = RAISE.get(error.errno or 0, str(error))
            return False
        self.sent += 1
        return True

    def _hear(self) -> None:
        while True:
            try:
                self._channel.recv(DATAGRAM_BYTES)
            except OSError:
                return
            self.answered += 1
