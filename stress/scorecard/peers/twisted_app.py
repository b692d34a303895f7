"""The same application on Twisted: twisted_app.py PORT."""

import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IPullProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

PIECE, PIECES = bytes(65536), 256


@implementer(IPullProducer)
class Large:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.left = PIECES
        request.setHeader(b"content-length", b"%d" % (len(PIECE) * PIECES))
        request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.left -= 1
        self.request.write(PIECE)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        pass


class Answer(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes | int:
        if request.path != b"/large":
            return b"hello\n"
        Large(request)
        return NOT_DONE_YET

    def render_POST(self, request: Request) -> bytes:
        request.content.read()
        return b"hello\n"


if __name__ == "__main__":
    reactor.listenTCP(int(sys.argv[1]), Site(Answer()), interface="127.0.0.1")
    reactor.run()
