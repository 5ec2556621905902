"""The options of an S3 store: the names people know, turned into those that s3fs takes.

The arguments of `s3fs.S3FileSystem` that concern the connection are accepted, and these common spellings beside them,
in either case:

    aws_access_key_id      key            endpoint, aws_endpoint_url   endpoint_url
    aws_secret_access_key  secret         region, aws_region,          client_kwargs["region_name"]
    aws_session_token      token            region_name
    aws_profile            profile
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTHER_NAMES: Final = {
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "aws_session_token": "token",
    "aws_profile": "profile",
    "endpoint": "endpoint_url",
    "aws_endpoint": "endpoint_url",
    "aws_endpoint_url": "endpoint_url",
    "region": "region_name",
    "aws_region": "region_name",
}

_KNOWN: Final = frozenset(
    {
        "anon",
        "cache_regions",
        "client_kwargs",
        "config_kwargs",
        "endpoint_url",
        "key",
        "max_concurrency",
        "password",
        "profile",
        "region_name",
        "requester_pays",
        "s3_additional_kwargs",
        "secret",
        "session",
        "token",
        "use_ssl",
        "username",
    }
)
"""What means something here. The rest of s3fs's arguments is about files, caches and event loops, which go unused."""

_CONNECTIONS: Final = 64
"""Requests that may be under way at once; the client's own default of 10 starves parallel range reads."""


def s3fs_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments for `s3fs.S3FileSystem`.

    Raises `InvalidError` for an option that is unknown or said twice, and for an endpoint with a password in it.
    Messages hold names of options, never values.
    """
    arguments: dict[str, Any] = {}
    for name, value in options.items():
        lower = name.lower()
        known = _OTHER_NAMES.get(lower, lower)
        if known not in _KNOWN:
            message = f"unknown S3 option {name!r}; known are {', '.join(sorted(_KNOWN | _OTHER_NAMES.keys()))}"
            raise InvalidError(message)
        if known in arguments:
            message = f"S3 option {name!r} says {known!r} a second time; give it once"
            raise InvalidError(message)
        arguments[known] = value
    client = dict(arguments.get("client_kwargs") or {})
    if "region_name" in arguments:
        client["region_name"] = arguments.pop("region_name")
    for endpoint_url in (arguments.get("endpoint_url"), client.get("endpoint_url")):
        if endpoint_url is not None and "@" in urlsplit(endpoint_url).netloc:
            message = "the endpoint's URL holds a password, which would show in messages; use 'key' and 'secret'"
            raise InvalidError(message)
    # One request each: `RetryingStore` tries again, because only it knows which requests may be sent twice.
    config = {"max_pool_connections": _CONNECTIONS, "retries": {"total_max_attempts": 1}}
    return {
        **arguments,
        "client_kwargs": client,
        "config_kwargs": config | dict(arguments.get("config_kwargs") or {}),
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }
