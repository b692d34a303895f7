"""Hostile clients, side-by-side benchmarks and their reports: what a server stands, what it costs.

Nothing in the engine or the protocols imports this package. It may use what they may not
(processes, real clocks, thousands of sockets), because it stands on the other side of the wire.
"""
