"""What every test gets: a check that nothing leaks, and worlds to run in."""

import gc
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings
from partway.engine.stream_row import StreamRow

FAILED = pytest.StashKey[bool]()

# The same examples in each run, and no clock: neither how busy a machine is nor what it has seen before decides a test.
settings.register_profile(
    "partway", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("partway")


def pytest_collection_finish() -> None:
    """Modules and collected tests are for good: not looking at them again makes each check for leaks cheap."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which test has failed: its traceback keeps alive what it had open."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def children_of(process: psutil.Process) -> list[str]:
    """The children's ids; the kernel's own list where there is one, for psutil looks at every process: 5 ms a test."""
    try:
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return [str(child.pid) for child in process.children()]


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rows, descriptors and threads are as many after a test as before it."""
    process = psutil.Process()
    descriptors, threads, children = process.num_fds(), threading.active_count(), children_of(process)
    yield
    gc.collect()
    if request.node.stash.get(FAILED, False):
        return
    left = [thing for thing in gc.get_objects() if type(thing) is StreamRow and thing.channel.fileno() >= 0]
    assert not left, f"rows left open: {left}"
    assert process.num_fds() <= descriptors, f"{process.num_fds() - descriptors} descriptors leaked"
    assert threading.active_count() == threads, "a thread leaked"
    assert children_of(process) == children, "a child leaked"
    gc.freeze()  # reports pile up: thousands of tests later, looking at all of them would cost more than a test
