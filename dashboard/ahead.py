"""Pages that are made while the browser that asked for them still starts its scripts."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MOST = 8
"""Pages that may wait to be fetched; those of browsers that went away are forgotten."""
AGE = 10.0
"""Seconds after which a page is made anew."""


class Ahead[T]:
    """Makes pages by their addresses, before they are asked for where that is known.

    Parameters
    ----------
    make
        gives the page at an address; may raise, as it does for whoever takes the page
    """

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._workers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ahead")
        self._begun: dict[str, tuple[float, Future[T]]] = {}
        self._lock = threading.Lock()

    def begin(self, path: str) -> None:
        """Start to make a page."""
        with self._lock:
            self._begun.pop(path, None)
            while len(self._begun) >= MOST:
                _, forgotten = self._begun.pop(next(iter(self._begun)))
                forgotten.cancel()
            self._begun[path] = time.monotonic(), self._workers.submit(self._make, path)

    def take(self, path: str) -> T:
        """The page at an address, made ahead or now; nobody else gets the same one."""
        with self._lock:
            begun: tuple[float, Future[Any]] | None = self._begun.pop(path, None)
        if begun is None or time.monotonic() - begun[0] > AGE:
            return self._make(path)
        found: T = begun[1].result()
        return found
