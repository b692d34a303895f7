"""HTTP/1.0 and 1.1: heads in, answers out; and a folder as what is answered with."""

from .connection import Http
from .folder import Folder
from .message import Answered, Body, Handler, Request, Response, Taker, page
from .server import Server

__all__ = ["Answered", "Body", "Folder", "Handler", "Http", "Request", "Response", "Server", "Taker", "page"]
