"""Protocols on the engine, a file for each, and the command line. None imports a socket, a poller or a clock."""
