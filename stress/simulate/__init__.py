"""`partway stress simulate`: the whole server and all its clients in one deterministic program, from a seed."""
