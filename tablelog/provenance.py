"""What every commit says about its writer."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from tablelog import env
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _version() -> str:
    try:
        return version("tablelog")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"


VERSION: Final = _version()
_RESERVED: Final = frozenset(("by", "who", "change", "rows_added", "rows_deleted"))


def commit_info(info: Mapping[str, Any] | None = None, **own: Any) -> dict[str, Any]:
    """A commit's `info`: what the user wants to be said, which software, who on which machine.

    Raises:
        InvalidError: the user's part is not JSON, or has a member that tablelog writes itself.

    """
    try:
        said = dict(info or {})
        json.dumps(said, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidError(f"info {info!r:.100} cannot be kept as JSON: {error}; use text and numbers") from error
    taken = sorted(_RESERVED & said.keys())
    if taken:
        raise InvalidError(f"info has the member {taken[0]!r}, which tablelog writes itself; use another name")
    return {**said, **own, "by": f"tablelog {VERSION}", "who": env.who()}


def told(info: Mapping[str, Any]) -> str:
    """What a commit's `info` says beyond who wrote it and how many rows."""
    said = [str(info["change"])] if "change" in info else []
    return ", ".join(said + [f"{key}={value}" for key, value in info.items() if key not in _RESERVED])
