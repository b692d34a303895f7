"""asyncio's own timers beside a server: no window, but frames all the same. In uvloop's loop where that is said."""

import asyncio
import sys

from common import FRAME_SECONDS, Show
from partway.engine.adapters.asyncio import attach


async def main() -> None:
    over = asyncio.Event()
    show = Show(over.set)
    turns = attach(show.reactor)
    show.begin()
    count = 0
    while not over.is_set():
        show.frame()
        count += 1
        if count % 20 == 0:
            show.click()
        await asyncio.sleep(FRAME_SECONDS)
    turns.detach()
    show.reactor.close()


if sys.argv[1:] == ["uvloop"]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
