"""Requests side by side: what a store far away is asked for at once instead of one after another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

_THREADS_MAX: Final = 64


def together(
    ask: Callable[[Argument], Answer], arguments: Sequence[Argument], *, side_by_side: bool = True
) -> list[Answer]:
    """`ask` for each argument, in their order; on several threads unless there is only one, or no use in it."""
    if not side_by_side or len(arguments) < 2:  # noqa: PLR2004 - one needs no company
        return [ask(argument) for argument in arguments]
    with ThreadPoolExecutor(min(_THREADS_MAX, len(arguments))) as pool:
        return list(pool.map(ask, arguments))
