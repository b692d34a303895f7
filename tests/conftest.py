"""What every test gets: a check that nothing leaks, and worlds to run in."""

import gc
import threading
from collections.abc import Iterator

import psutil
import pytest
from partway.engine.row import Row


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Rows, descriptors and threads are as many after a test as before it."""
    process = psutil.Process()
    gc.collect()
    descriptors, threads, children = process.num_fds(), threading.active_count(), process.children()
    yield
    gc.collect()
    left = [thing for thing in gc.get_objects() if type(thing) is Row and thing.channel.fileno() >= 0]
    assert not left, f"rows left open: {left}"
    assert process.num_fds() <= descriptors, f"{process.num_fds() - descriptors} descriptors leaked"
    assert threading.active_count() == threads, "a thread leaked"
    assert process.children() == children, "a child leaked"
