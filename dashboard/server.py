"""Serving the dashboard from this process until it is interrupted."""

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pyrite.errors import ConfigError

if TYPE_CHECKING:
    from flask import Flask


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Parameters
    ----------
    port
        0 for any that is free

    Raises
    ------
    ConfigError
        The port is in use, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise ConfigError(
            f"--host is {host}, which is no name or address of this machine; leave it out for "
            "127.0.0.1"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is used by another program; choose another --port, "
                "or --port 0 for any that is free"
            ) from None
        raise ConfigError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another --host or "
            "--port"
        ) from None
    return listener


def serve(server: "Flask", listener: socket.socket, ready: Callable[[str], None]) -> None:
    """Answer requests, many at a time, until Ctrl-C.

    Parameters
    ----------
    ready
        told the address once the page can be opened
    """
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for every request
    host, port = listener.getsockname()[:2]
    running = make_server(host, port, server, threaded=True, fd=listener.fileno())
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{port}/")
    with suppress(KeyboardInterrupt):
        running.serve_forever()
    running.server_close()
