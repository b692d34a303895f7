"""The same application on aiohttp's server: aiohttp_app.py PORT."""

import sys

from aiohttp import web

PIECE, PIECES = bytes(65536), 256


async def answer(request: web.Request) -> web.StreamResponse:
    if request.method == "POST":
        await request.read()
    if request.path != "/large":
        return web.Response(body=b"hello\n")
    response = web.StreamResponse()
    response.content_length = len(PIECE) * PIECES
    await response.prepare(request)
    for _ in range(PIECES):
        await response.write(PIECE)
    await response.write_eof()
    return response


if __name__ == "__main__":
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
