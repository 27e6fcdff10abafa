"""Rows of a table that takes long: a run that was stopped goes on where it was."""

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any


class Kept:
    """Rows by key, in memory and, where there is a file, a line of JSON each.

    Parameters
    ----------
    path : Path or None
        The file.
    key : callable
        The key of a row.
    """

    def __init__(self, path: Path | None, key: Callable[[Any], Hashable]) -> None:
        self.path, self.rows = path, {}
        if path is not None and path.exists():
            self.rows = {key(row): row for row in map(json.loads, path.open())}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return a row, made and kept if it is not there."""
        if key not in self.rows:
            self.rows[key] = make()
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(self.rows[key]) + "\n")
        return self.rows[key]
