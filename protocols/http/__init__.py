"""HTTP/1.0 and 1.1: heads in, answers out; and a folder as what is answered with."""

from .connection import JOIN_BYTES, Handler, Http, Request, Response, Server, http_date
from .folder import Folder

__all__ = ["JOIN_BYTES", "Folder", "Handler", "Http", "Request", "Response", "Server", "http_date"]
