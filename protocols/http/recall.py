"""Heads that were parsed, remembered: a client that stays asks alike, often to the byte.

Two things are kept. A head as it came, so that the same bytes need no look at all; and what followed the request line,
so that the same client's next path needs a look at its first line alone, which no parser knows better than the checks
here. Both are bounded in number and size, and forgotten when they are too many or other limits hold.
"""

from ...engine import Limits, PeerError
from .head import LINE_END, Head, check_request_line, parse_head

HEADS_MAX = 256  # of each kind
HEAD_BYTES_MAX = 1024  # the longest that is kept


class Recall:
    """What one server remembers of heads. `whole` are heads by their bytes, good for `limits`."""

    __slots__ = ("_alike", "limits", "whole")

    def __init__(self) -> None:
        self.limits: Limits | None = None
        self.whole: dict[bytes, Head] = {}
        self._alike: dict[tuple[bytes, bytes, bytes], Head] = {}

    def parse(self, raw: bytes, limits: Limits) -> Head:
        """Parse a whole head, or remember it. Raises PeerError with the status to refuse with."""
        if self.limits is not limits:
            self.forget()
            self.limits = limits
        head = self.whole.get(raw)
        if head is not None:
            return head
        end = raw.index(LINE_END)
        if end > limits.line_bytes:
            raise PeerError("request line too long", 414)
        if len(raw) > limits.head_bytes:
            raise PeerError("head too large", 431)
        if len(raw) > HEAD_BYTES_MAX:
            return parse_head(raw, limits.headers_max)
        if len(self.whole) >= HEADS_MAX:
            self.whole.clear()
        self.whole[raw] = head = self._parse(raw, raw[:end], raw[end:], limits)
        return head

    def _parse(self, raw: bytes, line: bytes, block: bytes, limits: Limits) -> Head:
        method, _, rest = line.partition(b" ")
        alike = self._alike.get((method, rest[-8:], block))
        if alike is not None:
            return alike.with_target(check_request_line(line)[1])
        head = parse_head(raw, limits.headers_max)
        if len(self._alike) >= HEADS_MAX:
            self._alike.clear()
        self._alike[method, rest[-8:], block] = head
        return head

    def forget(self) -> None:
        """Remember nothing."""
        self.whole.clear()
        self._alike.clear()
