"""Clients of every kind, each a machine written once: the same file runs in the simulation and on real sockets."""
