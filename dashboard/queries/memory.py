"""Remembering what was read, for as long as nothing has changed."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

CAPACITY = 256


class Memory:
    """The last results of queries, each with the stamp that it holds for; for many threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, tuple[Hashable, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Remember nothing."""
        with self._lock:
            self._kept.clear()

    def recall[T](self, key: Hashable, stamp: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave at this stamp; it is called again when the stamp is another."""
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0] == stamp:
                self._kept.move_to_end(key)
                found: T = known[1]
                return found
        made = make()  # outside the lock: a slow query keeps nobody waiting
        with self._lock:
            self._kept[key] = (stamp, made)
            self._kept.move_to_end(key)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return made
