"""The same application for servers of ASGI."""

from collections.abc import Awaitable, Callable
from typing import Any

PIECE, PIECES = bytes(65536), 256


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
    large = scope["path"] == "/large"
    length = len(PIECE) * PIECES if large else len(b"hello\n")
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if large:
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if large else b"hello\n"})
