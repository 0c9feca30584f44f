"""Tables in the terminal."""

from rich import box
from rich.table import Table


def plain_table() -> Table:
    """An empty one with a line below its head, close to the left edge."""
    return Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
