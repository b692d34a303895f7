"""What tells whether a server holds, and what it costs.

`bench` measures it beside its peers, `clients` are machines that visit it, `simulate` runs it with its clients from a
seed, `testing` does that for a machine of one's own, and `page` shows it in a browser. Nothing in the engine or the
protocols imports this package; it may use what they may not (processes, real clocks, thousands of sockets): it stands
on the other side of the wire.
"""
