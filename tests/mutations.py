"""Deliberate bugs in the engine, put in one at a time: does the simulation find each, and within how many seeds?

    python tests/mutations.py [--seeds N] [--jobs J] [NAME ...]

A simulation that finds nothing in a sound engine proves something only if it finds much in a broken one. Each mutation
is a piece of a file of the engine and what stands there instead: a bug of a kind that servers have had. It is put into
a copy of the source, never into the tree, and a child runs the seeds 0, 1, 2... against that copy until an invariant is
broken, an exception leaves the reactor, or a run takes more time than any sound one. First the engine as it is runs all
the seeds: what is found there is no mutation's merit, and is left out. Prints a table in Markdown; exits 1 where one
was not found, or where the engine as it is did not hold.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("engine", "protocols", "stress")
SEEDS = 1000
RUN_SECONDS = 10  # of CPU for one seed: sound ones take less than one
CHILD_SECONDS = 900  # of CPU for a child: only one that is caught in C, where no signal is heard, comes to that


class Mutation(NamedTuple):
    """One bug: where, what stands there, what shall stand there, and who writes such a thing."""

    name: str
    file: str
    old: str
    new: str
    why: str


class Finding(NamedTuple):
    """What one seed has found."""

    seed: int
    invariant: str
    detail: str


class Hunt(NamedTuple):
    """What came of one child."""

    found: list[Finding]
    seconds: float  # of CPU, starting the child included


MISPRINTS = ("NameError", "UnboundLocalError", "SyntaxError", "ImportError")
SOUND = Mutation("sound", "engine/__init__.py", "", "", "the engine as it is")

MUTATIONS = (
    # What a visit receives.
    Mutation(
        "end swallowed",
        "engine/stream.py",
        "                        row.end_fed = row.peer_ended = True\n                        state = CLOSED",
        "                        continue",
        "b'' is falsy, like `nothing yet`: the loop goes on, and a level-triggered poller says so again for ever",
    ),
    Mutation(
        "end fed and forgotten",
        "engine/stream.py",
        "                        row.end_fed = row.peer_ended = True\n                        state = CLOSED",
        "                        row.peer_ended = True\n                        state = CLOSED",
        "the machine is told, the row is not: it goes on reading, and is fed the end again and again",
    ),
    Mutation(
        "end leaves an idle row idle",
        "engine/stream.py",
        "                        state = CLOSED  # to this visit",
        "                        pass  # to this visit",
        "the short cut for rows that were idle and are idle again, taken by one that has just been fed the end",
    ),
    Mutation(
        "not ready taken for an end",
        "engine/stream.py",
        "continue  # else the poller was wrong; a wake may have come with it, so it is stepped\n",
        "continue\n                    row.end_fed = True\n                    machine.feed(b'')\n",
        "select(2) may say that a socket is readable which is not; recv's EAGAIN is then read as nothing left",
    ),
    Mutation(
        "signal taken for a loss",
        "engine/ending.py",
        "if isinstance(error, (BlockingIOError, InterruptedError)):\n        return False",
        "if isinstance(error, BlockingIOError):\n        return False",
        "EINTR on a channel that is no socket: the engine had this one, and seed 3 found it",
    ),
    Mutation(
        "duplex machine fed after its end",
        "engine/stream.py",
        "    if not data:\n        row.end_fed = row.peer_ended = True\n    try:",
        "    if not data:\n        row.peer_ended = True\n    try:",
        "two places receive, and only one of them keeps the book",
    ),
    Mutation(
        "end not handed on",
        "engine/stream.py",
        '    if row.end_fed:\n        machine.feed(b"")\n    return machine',
        "    return machine",
        "the machine that follows another never hears of the end that its predecessor was fed",
    ),
    # What a visit sends.
    Mutation(
        "byte lost after a short write",
        "engine/stream.py",
        "    _keep(row, memoryview(want)[sent:])",
        "    _keep(row, memoryview(want)[sent + 1 :])",
        "off by one, where the kernel took less than it was offered",
    ),
    Mutation(
        "rest lost after a second short write",
        "engine/stream.py",
        "            left = output[sent:] if sent < len(output) else None\n",
        "            left = output[tried:] if tried < len(output) else None\n",
        "what was offered is taken for what was accepted",
    ),
    Mutation(
        "write counted twice",
        "engine/stream.py",
        "    _keep(row, memoryview(want)[sent:])",
        "    row.sent += sent\n    _keep(row, memoryview(want)[sent:])",
        "the caller has counted already",
    ),
    Mutation(
        "sent bytes still held",
        "engine/stream.py",
        "        hold(row, -sent)\n    elif row.wide",
        "        hold(row, -tried)\n    elif row.wide",
        "what was offered, and not what went, is taken off the account",
    ),
    Mutation(
        "pieces lost in the middle",
        "engine/buffers.py",
        "            left.append(memoryview(piece)[sent:])\n            sent = 0\n",
        "            left.append(memoryview(piece)[sent:])\n            break\n",
        "a short writev that ended within a piece: those behind it are forgotten",
    ),
    Mutation(
        "no interest after a blocked write",
        "engine/stream.py",
        "        _settle(row, BLOCKED, NEVER)",
        "        advance(row, BLOCKED)",
        "the row waits for room, and nobody has asked the poller",
    ),
    Mutation(
        "interest kept while queued",
        "engine/stream.py",
        "    elif state == WORKING or state == OPENING_STATE:\n        row.table.withdraw(row)",
        "    elif state == WORKING or state == OPENING_STATE:\n        return",
        "a row with work in hand is called ready at every poll until its turn has come",
    ),
    Mutation(
        "output no reason to wait",
        "engine/stream.py",
        "            elif row.output is not None and (room := _flush(row, room)) <= 0:\n"
        "                _stop(row, room)\n                continue\n",
        "            elif row.output is not None:\n                room = _flush(row, room)\n",
        "the machine is stepped although its last output has not gone: the next piece overtakes it",
    ),
    Mutation(
        "quantum of one write alone",
        "engine/stream.py",
        "                        room -= size + limits.step_bytes\n",
        "                        room -= limits.step_bytes\n",
        "a budget for each piece instead of for the visit: who pipelines keeps all others waiting",
    ),
    Mutation(
        "requests cost nothing",
        "engine/stream.py",
        "                    room -= limits.request_bytes * weight\n",
        "                    pass\n",
        "many small requests in one read are answered in one visit",
    ),
    Mutation(
        "read after the end",
        "engine/stream.py",
        "        if row.end_fed:\n            close(row, Reason(Cause.DONE if idle else Cause.CUT_SHORT))",
        "        if row.end_fed and idle:\n            close(row, Reason(Cause.DONE))",
        "a request that was cut off waits for the rest, which cannot come",
    ),
    Mutation(
        "peer's end unheard while waiting",
        "engine/stream.py",
        "        row.peer_ended = True\n        row.table.ask(row)\n        row.table.wake(row)",
        "        row.peer_ended = True\n        row.table.ask(row)",
        "the end is noted, and whoever waits for it is not told",
    ),
    Mutation(
        "one row's mistake reaches the others",
        "engine/stream.py",
        "        except Exception as error:\n            failed(row, error)\n\n\ndef visit",
        "        except OSError as error:\n            failed(row, error)\n\n\ndef visit",
        "only what was expected is caught",
    ),
    Mutation(
        "served after its end",
        "engine/stream.py",
        "    if row.state < LINGERING or (row.state == LINGERING and mask):\n",
        "    if row.descriptor in row.table.by_descriptor:\n",
        "a row that has ended while it was queued is stepped all the same, or another on its descriptor",
    ),
    # Deadlines.
    Mutation(
        "deadline moved by bytes",
        "engine/stream.py",
        "    elif state != row.phase or row.requests != row.requests_then:\n",
        "    else:\n",
        "a timer that starts afresh whenever something comes: Slowloris's whole trick",
    ),
    Mutation(
        "idle clock moved by bytes",
        "engine/stream.py",
        "                        row.received += (size := len(data))\n",
        "                        row.received += (size := len(data))\n                        row.active_at = now\n",
        "blank lines keep a connection for ever",
    ),
    Mutation(
        "idle clock not moved by answers",
        "engine/stream.py",
        "                        row.sent += sent\n                        row.active_at = now\n",
        "                        row.sent += sent\n",
        "a busy connection is closed as idle, so many seconds after it began",
    ),
    Mutation(
        "idle clock not moved by requests",
        "engine/stream.py",
        "                    row.requests += 1\n                    row.active_at = now\n",
        "                    row.requests += 1\n",
        "NEXT is counted, but moves no deadline",
    ),
    Mutation(
        "wait charged to the request",
        "engine/stream.py",
        "        row.since += now - row.paused_at\n",
        "        pass\n",
        "while the server thinks, the client's time runs out",
    ),
    Mutation(
        "timer rounded down",
        "engine/timers.py",
        "        tick = ceil(due * TICKS)\n        slot = self._slots.get(tick)",
        "        tick = int(due * TICKS)\n        slot = self._slots.get(tick)",
        "the alarm rings before its time, again and again until it has come: a busy loop of a millisecond",
    ),
    Mutation(
        "next alarm rounded to seconds",
        "engine/timers.py",
        "        return self._heap[0] / TICKS if self._heap else None",
        "        return self._heap[0] // TICKS if self._heap else None",
        "the poller is told a time before the first alarm, and wakes for nothing",
    ),
    Mutation(
        "alarms lost when there are many",
        "engine/timers.py",
        "            ringing += [slot.popleft() for _ in range(room)]\n",
        "            ringing += [slot.popleft() for _ in range(room)]\n"
        "            del self._slots[heappop(self._heap)]\n",
        "a bite is taken, and the rest thrown away",
    ),
    Mutation(
        "earlier deadline without an alarm",
        "engine/table.py",
        "        if due < row.alarm:\n",
        "        if row.alarm == NEVER:\n",
        "who has an alarm needs no other: but the new deadline may come before it",
    ),
    Mutation(
        "pruning forgets what the program has scheduled",
        "engine/table.py",
        "        self.timers.prune(alarms + [(due, key) for key, (due, _) in self.calls.items()])",
        "        self.timers.prune(alarms)",
        "stale alarms are thrown away, and with them those that belong to no row",
    ),
    Mutation(
        "no alarm after one has rung",
        "engine/patience.py",
        "    if row.state != CLOSED:\n        row.table.arm(row)",
        "    if row.state == LINGERING:\n        row.table.arm(row)",
        "who has looked at a row once does not look again",
    ),
    Mutation(
        "a burst is saved up for a silence",
        "engine/patience.py",
        "    row.since = row.table.now\n    row.mark = row.received\n    return True",
        "    row.since = row.table.now\n    return True",
        "a request's rate is reckoned from its beginning, not over the period",
    ),
    Mutation(
        "what went before counts for the period",
        "engine/patience.py",
        "    if taken - row.taken < max(1, ",
        "    if taken < max(1, ",
        "an answer's rate is reckoned from the connection's beginning: who reads nothing any more is kept",
    ),
    # Ending.
    Mutation(
        "lingering without a deadline",
        "engine/stream_row.py",
        "        if state == LINGERING:\n            return self.since + limits.linger_seconds\n",
        "",
        "a peer that never ends its side keeps a row for ever",
    ),
    Mutation(
        "lingering without an alarm",
        "engine/ending.py",
        "    row.table.ask(row)\n    row.table.arm(row)",
        "    row.table.ask(row)",
        "the deadline is there, and nobody looks at it",
    ),
    Mutation(
        "our end not sent",
        "engine/ending.py",
        "        row.table.platform.half_close(row.channel)\n",
        "        pass\n",
        "both sides wait for the other's end",
    ),
    Mutation(
        "closing without lingering",
        "engine/ending.py",
        "    if row.end_fed:\n        row.table.doom(row, reason)  # closing",
        "    if row.end_fed or not row.half_closed:\n        row.table.doom(row, reason)  # closing",
        "a socket closed with bytes unread resets its connection, and the answer is lost on its way",
    ),
    Mutation(
        "last words within an answer",
        "engine/ending.py",
        "    elif row.output is None and not row.half_closed",
        "    elif not row.half_closed",
        "a 408 in the middle of somebody's file",
    ),
    Mutation(
        "half an answer looks whole",
        "engine/ending.py",
        "    if row.output is not None or words is None:\n        row.table.doom(row, reason, reset=True)",
        "    if row.output is not None or words is None:\n        row.table.doom(row, reason)",
        "an orderly end after what is not all",
    ),
    Mutation(
        "doomed row still speaks",
        "engine/stream_row.py",
        "        channel, self.channel = self.channel, MUTE\n        return channel",
        "        return self.channel",
        "a machine that has closed its own row goes on sending until the turn's end",
    ),
    Mutation(
        "freed within the turn",
        "engine/table.py",
        "        self.doomed.append((row, row.fall_mute(), reset))\n",
        "        self.doomed.append((row, row.fall_mute(), reset))\n        self.reap()\n",
        "the descriptor goes to the next who comes while events of this turn still name it",
    ),
    Mutation(
        "ended() called twice",
        "engine/table.py",
        "                ended(row.reason)\n",
        "                ended(row.reason)\n                ended(row.reason)\n",
        "once by who dooms and once by who frees",
    ),
    # The table.
    Mutation(
        "row leaked by its descriptor",
        "engine/stream_row.py",
        "        del table.by_descriptor[self.descriptor]\n",
        "",
        "two indexes, and one is forgotten",
    ),
    Mutation(
        "peer's rows not counted down",
        "engine/table.py",
        "        keys.discard(row.key)\n",
        "        pass\n",
        "after so many connections, one after another, a peer is locked out",
    ),
    Mutation(
        "held bytes leaked",
        "engine/table.py",
        "        hold(row, -row.held)\n        row.reaped = True",
        "        row.reaped = True",
        "ghost bytes of rows that have gone, until the table believes that it is full",
    ),
    Mutation(
        "totals of another column",
        "engine/table.py",
        "        totals.sent += row.sent\n",
        "        totals.sent += row.received\n",
        "a copied line",
    ),
    Mutation(
        "keys reused",
        "engine/table.py",
        "        self._last_key += 1\n        return self._last_key",
        "        self._last_key = max(self.rows, default=0) + 1\n        return self._last_key",
        "the next number after those that are there: one that was used by a row that has gone",
    ),
    Mutation(
        "eviction of those who hold nothing",
        "engine/table.py",
        "* (self.now - row.since + 1), reverse=True)",
        "* (self.now - row.since + 1))",
        "sorted the wrong way round",
    ),
    Mutation(
        "no eviction",
        "engine/table.py",
        "        if excess <= 0:\n            return\n",
        "        if excess <= self.held_bytes_max:\n            return\n",
        "a budget compared with itself",
    ),
    Mutation(
        "interest withdrawn and remembered",
        "engine/table.py",
        "            self.poller.unregister(row.descriptor)\n            row.mask = 0\n",
        "            self.poller.unregister(row.descriptor)\n",
        "the poller and the row are of two minds",
    ),
    # Waking and the queue.
    Mutation(
        "wake-up lost while idle",
        "engine/table.py",
        "        if row.queued or state >= LINGERING or row.connecting:\n            return\n",
        "        if row.queued or state >= LINGERING or row.connecting or state == 1:\n            return\n",
        "an idle row has nothing to do: but somebody else may have something for it",
    ),
    Mutation(
        "wake-up lost while reading",
        "engine/table.py",
        "        if row.queued or state >= LINGERING or row.connecting:\n            return\n",
        "        if row.queued or state >= LINGERING or row.connecting or state == 2:\n            return\n",
        "the same, within a request",
    ),
    Mutation(
        "woken twice, queued twice",
        "engine/table.py",
        "        if row.queued or state >= LINGERING or row.connecting:\n            return\n",
        "        if state >= LINGERING or row.connecting:\n            return\n",
        "two events in one turn",
    ),
    # Calls.
    Mutation(
        "wake steps who waits for a call",
        "engine/table.py",
        "        if row.key in self.called:\n            return\n",
        "",
        "a machine that said Call is stepped without what it asked for",
    ),
    Mutation(
        "woken before its call, stepped within it",
        "engine/stream.py",
        "    if not mask and row.key in table.called:\n        return\n",
        "",
        "the wake is older than the call, and stands in the queue",
    ),
    Mutation(
        "call told of twice",
        "engine/offload.py",
        "        self._free(ticket, work)\n        self._tell(ticket, outcome)\n",
        "        self._free(ticket, work)\n        self._tell(ticket, outcome)\n"
        "        if ticket.row is not None and not ticket.waited_for:\n"
        "            ticket.row.machine.resume(outcome._replace(tag=ticket.tag))\n",
        "an outcome that comes twice is a payment that is made twice",
    ),
    Mutation(
        "call that nobody is told of",
        "engine/offload.py",
        "            table.wake(row)\n",
        "            pass\n",
        "it has come back, and nobody steps it",
    ),
    Mutation(
        "call of a row that has gone goes on",
        "engine/table.py",
        "            self.calling.cancel(row.key)\n",
        "            pass\n",
        "its place among those in flight is never free again",
    ),
    Mutation(
        "heir hears of its predecessor's calls",
        "engine/stream.py",
        "        row.table.calling.cancel(row.key)\n",
        "        pass\n",
        "an outcome that this machine has never asked for",
    ),
    Mutation(
        "descriptor of a call left behind",
        "engine/offload.py",
        "            self._table.poller.unregister(descriptor)\n        work.close()\n",
        "            self._table.poller.unregister(descriptor)\n",
        "one is lost with each call",
    ),
    Mutation(
        "still queued after its turn",
        "engine/stream.py",
        "    row.queued = False\n    mask, row.pending",
        "    mask, row.pending",
        "the flag stays, and whoever wants to queue the row believes it",
    ),
    Mutation(
        "last come, first served",
        "engine/schedule.py",
        "        return self._rows.popleft()",
        "        return self._rows.pop()",
        "a stack for a queue",
    ),
    Mutation(
        "no ageing",
        "engine/schedule.py",
        "self._rank(row) + work * AGEING",
        "self._rank(row)",
        "the shortest first, and the longest never",
    ),
    Mutation(
        "readiness lost in the queue",
        "engine/reactor.py",
        "                row.pending |= mask\n",
        "                row.pending = 0\n",
        "a row that waits for its turn forgets what the poller has told of it",
    ),
    Mutation(
        "queue without an end of the turn",
        "engine/reactor.py",
        "        for _ in range(len(queue)):\n",
        "        while queue:\n",
        "who joins the queue meanwhile is served in the same turn, and the poller waits",
    ),
    Mutation(
        "turn without a budget",
        "engine/reactor.py",
        "            if room <= 0 or (up is not None and up()):\n",
        "            if up is not None and up():\n",
        "one turn sends all that is in the queue",
    ),
    # The turn.
    Mutation(
        "sleeps with work in hand",
        "engine/reactor.py",
        "        if timeout == 0 or table.queue or table.doomed:\n            return 0",
        "        if timeout == 0 or table.doomed:\n            return 0",
        "what is in the queue is invisible to the poller",
    ),
    Mutation(
        "sleeps past the deadline",
        "engine/reactor.py",
        "        return wait if timeout is None else min(wait, timeout)",
        "        return 2 * wait if timeout is None else min(wait, timeout)",
        "an interval reckoned from the wrong moment",
    ),
    Mutation(
        "alarm answered by nobody",
        "engine/reactor.py",
        "            if row.alarm <= table.now:\n",
        "            if row.alarm < table.now - 1:\n",
        "a comparison against another turn's time",
    ),
    Mutation(
        "drain forgets the idle",
        "engine/reactor.py",
        "(row.state == IDLE or not idle)",
        "not idle",
        "who says nothing keeps a stopping server for as long as it may",
    ),
    Mutation(
        "drain forgets who becomes idle",
        "engine/stream.py",
        "        elif idle and row.table.draining:\n            close(row, Reason(Cause.DRAINED))\n",
        "",
        "a request that ends after the drain has begun makes its row idle, not gone",
    ),
    # Coming in.
    Mutation(
        "deaf after EMFILE",
        "engine/listener.py",
        "        self.table.call_at(self.table.now + self._pause_seconds, self._resume)",
        "        self.table.call_at(self.table.now + self._pause_seconds, self._stop)",
        "the listener pauses at the descriptor limit, and stays so",
    ),
    Mutation(
        "deaf after a full table",
        "engine/listener.py",
        "        table.on_room.append(self._resume)\n",
        "",
        "nobody tells it that there is room again",
    ),
    Mutation(
        "busy while the table is full",
        "engine/listener.py",
        "        table = self.table\n        self._stop()\n        table.on_room",
        "        table = self.table\n        table.on_room",
        "a listener that is left ready wakes the loop for ever",
    ),
    Mutation(
        "busy at the descriptor limit",
        "engine/listener.py",
        "        self._stop()\n        self.table.call_at",
        "        self.table.call_at",
        "the same, at EMFILE",
    ),
    Mutation(
        "table without a limit",
        "engine/listener.py",
        "            if table.full():\n",
        "            if table.full() and table.draining:\n",
        "rows beyond `rows_max`",
    ),
    Mutation(
        "one aborted connection closes the door",
        "engine/listener.py",
        "in _THIS_ONE_ONLY:\n                    continue\n",
        "in _THIS_ONE_ONLY:\n                    self._stop()\n                    return\n",
        "ECONNABORTED taken for the listener's own failure",
    ),
    # Buffers.
    Mutation(
        "search resumed a byte late",
        "engine/buffers.py",
        "self.scanned - len(mark) + 1))",
        "self.scanned - len(mark) + 2))",
        "off by one: a mark that is the first new byte is missed",
    ),
    Mutation(
        "search not moved with the bytes",
        "engine/buffers.py",
        "        self.scanned = max(0, self.scanned - self.start)\n",
        "",
        "what was taken out moves the rest, but not how far it has been looked at",
    ),
    Mutation(
        "line without a limit",
        "engine/buffers.py",
        "        if size > self.limit or (not size and len(self.inbox) >= self.limit):\n",
        "        if size > self.limit:\n",
        "a line that is too long is noticed when it has an end",
    ),
    # Freezing.
    Mutation(
        "taken bytes come back when thawed",
        "engine/buffers.py",
        "        return self.row, self.peek(len(self))",
        "        return self.row, bytes(self.data)",
        "a buffer is frozen with what lies before its beginning",
    ),
    Mutation(
        "thawed bytes not counted",
        "engine/buffers.py",
        "            hold(self.row, len(self.data))\n\n    def feed",
        "            pass\n\n    def feed",
        "the row that a machine thaws on does not know what it holds",
    ),
    Mutation(
        "thawed on another row",
        "engine/freeze.py",
        "            return thing.key\n",
        "            return thing.descriptor\n",
        "a number that is another's by now",
    ),
    Mutation(
        "shared place off by one",
        "engine/freeze.py",
        "return None if place is None else -1 - place",
        "return None if place is None else -place",
        "what rows share is taken for a row, or for something else that they share",
    ),
    # Datagrams: what comes in, who is found, what waits to go out.
    Mutation(
        "datagram of a row taken for a stranger's",
        "engine/endpoint.py",
        "        if row is None:\n            return False\n        self._last",
        "        if row is None or row.requests == 1:\n            return False\n        self._last",
        "a half-done request whose next part begins another one",
    ),
    Mutation(
        "too long, and fed all the same",
        "engine/endpoint.py",
        "if size == too_long or self._take(data, sender):",
        "if self._take(data, sender):",
        "a datagram that was cut short is no shorter datagram",
    ),
    Mutation(
        "rows without a cap",
        "engine/endpoint.py",
        "        if self.rows >= self.limits.datagram_rows_max:\n            self._drop(NO_ROW)",
        "        if self.rows > 1_000_000:\n            self._drop(NO_ROW)",
        "a number that is looked at nowhere",
    ),
    Mutation(
        "route left behind",
        "engine/endpoint.py",
        "        for route in row.routes:\n            del self._routes[route]\n        row.routes = ()",
        "        row.routes = ()",
        "the row has ended, and whatever its peer says goes to it for ever",
    ),
    Mutation(
        "endpoint forgets to count a row out",
        "engine/endpoint.py",
        '        """A row has left."""\n        self.rows -= 1',
        '        """A row has left."""',
        "after so many clients nobody is admitted",
    ),
    Mutation(
        "unproven, and sent anything",
        "engine/datagram_row.py",
        "return self.proven or self.sent - self.sent_then + size <= most",
        "return True",
        "an amplifier for whoever forges a sender",
    ),
    Mutation(
        "signal taken for a lost datagram",
        "engine/outbox.py",
        "        if not isinstance(error, (BlockingIOError, InterruptedError)):\n            self._lose(row, error)",
        "        if not isinstance(error, BlockingIOError):\n            self._lose(row, error)",
        "EINTR once more, and a peer that is there counts as lost",
    ),
    Mutation(
        "datagram sent twice",
        "engine/outbox.py",
        "                    self._sent(len(data), row)\n            self.waiting.popleft()",
        "                    self._sent(len(data), row)\n                    if len(self.waiting) > 1:\n"
        "                        self._channel.send_to(data, sender)\n            self.waiting.popleft()",
        "sent, and sent again from the queue",
    ),
    Mutation(
        "queue without a cap",
        "engine/outbox.py",
        "if self.queued_bytes + size > self._limits.datagram_queue_bytes or (",
        "if (",
        "what a full socket does not take grows as long as it is asked",
    ),
    Mutation(
        "queue that nobody empties",
        "engine/outbox.py",
        "            self.table.poller.modify(self._channel.fileno(), READABLE | WRITABLE)\n",
        "            pass\n",
        "the poller is not asked when there is room: the rows that wait are cut off, one by one",
    ),
    Mutation(
        "queue empty, poller still asked",
        "engine/outbox.py",
        "        if not self.waiting:\n            self.table.poller.modify(self._channel.fileno(), READABLE)\n",
        "",
        "a level-triggered poller says for ever that there is room",
    ),
    Mutation(
        "sent from the queue, and its row forgotten",
        "engine/outbox.py",
        "            advance(row, QUEUED)\n            if not row.queued:\n                self.table.enqueue(row)",
        "            pass",
        "a row that waits for what has long gone",
    ),
    Mutation(
        "bytes of the queue never given back",
        "engine/outbox.py",
        "        self.queued_bytes -= size\n",
        "",
        "a queue that is full when so much has ever waited",
    ),
    Mutation(
        "output of a datagram row held twice",
        "engine/outbox.py",
        "        row.output = None\n        hold(row, -len(data))",
        "        row.output = None",
        "hold's other half forgotten, on the way that is taken once a day",
    ),
    Mutation(
        "what merely comes is progress",
        "engine/datagram.py",
        "    else:\n        row.asked = True\n",
        "    else:\n        row.asked = True\n        row.active_at = row.table.now\n",
        "who says nonsense often enough lives for ever",
    ),
    Mutation(
        "datagram row stepped while its output waits",
        "engine/datagram.py",
        "if row.state < LINGERING and row.state != WRITING and",
        "if row.state < LINGERING and",
        "a wake comes, and what waits is overtaken",
    ),
    Mutation(
        "request of a datagram row not counted",
        "engine/datagram.py",
        "                row.requests += 1\n                row.active_at = now\n",
        "                row.active_at = now\n",
        "the totals are what the operator sees",
    ),
    Mutation(
        "wait of a datagram row without an alarm",
        "engine/datagram.py",
        "    row.since = row.table.now\n    row.until = until\n    row.table.arm(row)",
        "    row.since = row.table.now\n    row.until = until",
        "Read(seconds), and nobody looks at the clock",
    ),
    Mutation(
        "deadline of a datagram row from its first byte",
        "engine/datagram.py",
        "                if row.asked:\n                    row.active_at = now\n",
        "",
        "a long exchange is cut off although each part is answered",
    ),
    Mutation(
        "draining, datagram rows linger on",
        "engine/datagram.py",
        "        if row.table.draining:\n",
        "        if row.table.draining and row.key < 0:\n",
        "the server stops only when the last idle peer has been silent long enough",
    ),
)


@contextmanager
def copied(source: Path = ROOT) -> Iterator[Path]:
    """A folder with a copy of the source in it, as the package that it installs as."""
    with TemporaryDirectory(prefix="mutation") as folder:
        for part in PARTS:
            shutil.copytree(source / part, Path(folder, "partway", part), ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def mutated(source: str, mutation: Mutation) -> str:
    """Return a file's text with the mutation in it. Raises ValueError where its place is not there exactly once."""
    if mutation.old and source.count(mutation.old) != 1:
        raise ValueError(f"{mutation.name}: its place is {source.count(mutation.old)} times in {mutation.file}")
    return source.replace(mutation.old, mutation.new) if mutation.old else source


def hunt(
    mutation: Mutation, seeds: Iterable[int], most: int = 1, run_seconds: float = RUN_SECONDS, source: Path = ROOT
) -> Hunt:
    """Put one mutation into a copy, and run the seeds against it until so many of them have found it."""
    with copied(source) as folder:
        path = folder / "partway" / mutation.file
        path.write_text(mutated(path.read_text(), mutation))
        child = subprocess.run(
            # Without this file's own folder on the path (-P): nothing but the copy may be imported as partway.
            [sys.executable, "-P", "-B", __file__, "--child", str(folder), str(most), str(run_seconds)],
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"},
            input=json.dumps(list(seeds)),
            capture_output=True,
            text=True,
        )
    if child.returncode:
        raise RuntimeError(f"{mutation.name}: the child failed with {child.returncode}\n{child.stderr[-2000:]}")
    found, seconds = json.loads(child.stdout)
    findings = [Finding(*one) for one in found]
    for one in findings:
        if mutation is not SOUND and any(name in one.detail for name in MISPRINTS):
            raise RuntimeError(f"{mutation.name}: this is a misprint and no bug: {one.detail}")
    return Hunt(findings, seconds)


class HangError(BaseException):
    """A run has taken more time than any sound one: no machine's error, so that the engine does not catch it."""


def look(folder: Path, seeds: Iterable[int], most: int, run_seconds: float) -> Hunt:
    """Run the seeds against the copy in a folder, which is what this process has imported."""
    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_SECONDS, CHILD_SECONDS))
    signal.signal(signal.SIGPROF, _hang)
    import partway.engine
    import partway.protocols
    import partway.stress

    for package in (partway.engine, partway.protocols, partway.stress):
        assert package.__file__ is not None
        assert Path(package.__file__).is_relative_to(folder), f"{package.__file__} is not the copy"
    found: list[Finding] = []
    for seed in seeds:
        finding = _look_at(seed, run_seconds)
        if finding is not None:
            found.append(finding)
        if len(found) == most:
            break
    return Hunt(found, time.process_time())


def _look_at(seed: int, run_seconds: float) -> Finding | None:
    from partway.stress.simulate.broken import BrokenError
    from partway.stress.simulate.case import draw
    from partway.stress.simulate.world import run

    signal.setitimer(signal.ITIMER_PROF, run_seconds)
    try:
        run(draw(seed))
    except BrokenError as error:
        return Finding(seed, error.invariant, error.detail)
    except HangError:
        return Finding(seed, "a run without an end", f"{run_seconds} s of CPU")
    except Exception as error:
        return Finding(seed, f"an exception leaves the reactor ({type(error).__name__})", repr(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError


def row_of(mutation: Mutation, hunted: Hunt) -> str:
    """Return a line of the table."""
    what, when = "**not found**", "-"
    if hunted.found:
        what, when = hunted.found[0].invariant, str(hunted.found[0].seed + 1)
    return f"| {mutation.name} | `{mutation.file}` | {mutation.why} | {what} | {when} | {hunted.seconds:.1f} |"


def tell(mutations: Sequence[Mutation], seeds: int, jobs: int, say: Callable[[str], None]) -> bool:
    """Hunt all of these, and say the table. Returns True where each was found, and nothing in the sound engine."""
    hunts = []
    with copied() as folder, ThreadPoolExecutor(jobs) as workers:  # one state of the tree for all, whoever edits it
        source = folder / "partway"
        sound = hunt(SOUND, range(seeds), seeds, source=source)
        broken = {one.seed for one in sound.found}  # what breaks by itself shows nothing of a mutation
        for one in sound.found:
            say(f"- the engine as it is breaks at seed {one.seed}, which is left out: {one.invariant}: {one.detail}\n")
        say(f"The engine as it is: {seeds - len(broken)} of {seeds} seeds hold ({sound.seconds:.0f} s of CPU).\n")
        say("| mutation | file | which bug | found by | within seeds | CPU s |")
        say("|---|---|---|---|---:|---:|")
        kept = [seed for seed in range(seeds) if seed not in broken]
        found = workers.map(lambda mutation: hunt(mutation, kept, source=source), mutations)
        for mutation, hunted in zip(mutations, found, strict=True):
            say(row_of(mutation, hunted))
            hunts.append(hunted)
    within = sorted(hunted.found[0].seed + 1 for hunted in hunts if hunted.found)
    say(f"\n{len(within)} of {len(mutations)} found, {sum(hunted.seconds for hunted in hunts):.0f} s of CPU.")
    if within:
        say(f"Half of them within {within[len(within) // 2]} seeds, all within {within[-1]}.")
    return not broken and len(within) == len(mutations)


def main(arguments: Sequence[str]) -> int:
    """Run as a script."""
    if arguments[:1] == ["--child"]:
        folder, most, run_seconds = arguments[1:]
        print(json.dumps(look(Path(folder), json.load(sys.stdin), int(most), float(run_seconds))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only mutations whose names have this in them")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="try so many seeds (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="children at once (%(default)s)")
    options = parser.parse_args(arguments)
    names = options.names or [""]
    chosen = [mutation for mutation in MUTATIONS if any(name in mutation.name for name in names)]
    if not chosen:
        parser.error(f"no mutation is called {options.names}")
    return 0 if tell(chosen, options.seeds, options.jobs, lambda line: print(line, flush=True)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
