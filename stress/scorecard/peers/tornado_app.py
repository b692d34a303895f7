"""The same application on Tornado: tornado_app.py PORT."""

import asyncio
import sys

import tornado.web

PIECE, PIECES = bytes(65536), 256


class Answer(tornado.web.RequestHandler):
    async def get(self) -> None:
        if self.request.path != "/large":
            self.write(b"hello\n")
            return
        self.set_header("Content-Length", str(len(PIECE) * PIECES))
        for _ in range(PIECES):
            self.write(PIECE)
            await self.flush()

    async def post(self) -> None:
        self.write(b"hello\n")


async def main() -> None:
    tornado.web.Application([(r"/.*", Answer)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
