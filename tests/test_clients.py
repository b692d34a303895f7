"""The clients on real sockets: the files that the simulation runs are clients of a reactor as they are.

Those whose point is to take their time are left to the simulation, where it costs none.
"""

from random import Random

import pytest
from partway.engine import Limits, Reactor, Row
from partway.engine.kernel import Kernel
from partway.protocols.echo import Echo
from partway.stress.clients import dialogue
from partway.stress.clients.kinds import KINDS, Kind
from partway.stress.simulate.shout import Shout

SERVER = Limits(idle_seconds=5, linger_seconds=0.2)
PATIENT = Limits(idle_seconds=60, request_seconds=60, waiting_seconds=60, stall_seconds=60)
TURNS_MOST = 20_000
BRISK = ("honest", "hasty", "half-close", "drip", "cut", "garbage", "flood", "churn")
SERVERS = {"echo": (Echo, dialogue.Echo), "lines": (Shout, dialogue.Shout)}


@pytest.mark.parametrize("protocol", SERVERS)
@pytest.mark.parametrize("kind", BRISK)
def test_a_kind_of_client_on_a_real_socket(kind: str, protocol: str) -> None:
    serve, talk = SERVERS[protocol]
    made: list[Kind] = []
    notices: list[str] = []
    reactor = Reactor(Kernel(), observer=lambda notice: notices.append(str(notice)))
    try:
        address = reactor.listen("127.0.0.1:0", serve, SERVER).address

        def client(row: Row) -> Kind:
            made.append(KINDS[kind](row, talk(Random(len(made))), 3))
            return made[-1]

        for _ in range(5):
            reactor.connect(address, client, PATIENT)
        for _ in range(TURNS_MOST):
            reactor.step(0.05)
            if not any(row.listener.startswith("to ") for row in reactor.rows()):
                break
        assert len(made) == 5 and notices == []
        for machine in made:
            machine.hear()
            assert machine.satisfied or not machine.behaves, machine.dialogue.answered
    finally:
        reactor.close()
