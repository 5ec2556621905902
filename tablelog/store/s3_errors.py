"""What an S3 server's refusal, or its silence, means.

    412 on a create          the key exists                     409 on a create     two creates at once: ask again
    404 NoSuchKey            the key does not exist             404 NoSuchBucket    the call is wrong
    429, 503 SlowDown, …     not done, ask again                500, 502, 504, …    perhaps done, ask again
    no connection was made   not done, ask again                it broke, timed out perhaps done, ask again
    401, 403, other 4xx      not done, something must change

Only the HTTP status and S3's error code decide. The exception classes that s3fs makes of them depend on words in the
server's XML that many servers leave out: a refused create is `FileExistsError` of one, `OSError(EINVAL)` of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_THROTTLES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
"""Codes of servers that looked at a request, declined it for now and say so."""

_NOT_NOW: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that pass."""

_FORBIDDEN: Final = frozenset({401, 403})
_NOT_IMPLEMENTED: Final = 501


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer of the server other than success."""

    status: int
    code: str
    """S3's own name for it, such as `NoSuchKey`; an answer without a body has the status here."""
    message: str


def refusal(error: BaseException) -> Refusal | None:
    """The answer behind an exception, or None if the server gave none."""
    for each in _chain(error):
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict) and "Error" in response:
            stated = response["Error"]
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return Refusal(status=status, code=str(stated.get("Code") or ""), message=str(stated.get("Message") or ""))
    return None


def is_of_network(error: BaseException) -> bool:
    """Whether an exception comes from the client or the network, and not from a mistake in a program."""
    from aiohttp import ClientError  # noqa: PLC0415 - loaded with the first S3 store, not with tablelog
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.exceptions import ClientError as Refused  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    return isinstance(error, (BotoCoreError, Refused, ResponseParserError, ClientError, OSError, TimeoutError))


def failure(error: BaseException, *, what: str, changing: bool) -> StoreError:
    """The `StoreError` for a request that failed.

    `what` says which request, as in `write s3://b/k`; `changing` whether it would have changed anything.
    """
    answer = refusal(error)
    if answer is None:
        silence = _Silence.of(error)
        message = f"cannot {what}: {type(error).__name__}: {error}; {silence.advice}"
        return StoreError(message, maybe_applied=changing and silence.sent, transient=silence.transient)
    declined = answer.code in _THROTTLES or answer.status in {409, 429}
    transient = declined or answer.status in _NOT_NOW or answer.code == "RequestTimeout"
    # A gateway's 503 may come after the server behind it has done the work; one that names its reason does not.
    maybe_applied = changing and transient and not declined
    said = f"{answer.code} {answer.message}".strip()
    message = f"cannot {what}: the server answered {answer.status} {said}; {_advice(answer, transient=transient)}"
    return StoreError(message, maybe_applied=maybe_applied, transient=transient)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silence:
    """A request without an answer."""

    sent: bool
    """Whether the server may have got it."""
    transient: bool
    advice: str

    @classmethod
    def of(cls, error: BaseException) -> _Silence:
        """Judge by the first cause that tells."""
        from aiohttp import ClientConnectorError, ConnectionTimeoutError  # noqa: PLC0415 - see is_of_network
        from botocore.exceptions import BotoCoreError, HTTPClientError, IncompleteReadError  # noqa: PLC0415
        from botocore.exceptions import ConnectionError as BotoConnectionError  # noqa: PLC0415

        chain = list(_chain(error))
        # botocore's EndpointConnectionError is no proof that nothing was sent: a connection that is reset in the middle
        # of a request becomes one, too. Only its cause can tell.
        if any(isinstance(each, (ClientConnectorError, ConnectionTimeoutError)) for each in chain):
            return cls(sent=False, transient=True, advice="check the endpoint and the network")
        talking = (HTTPClientError, BotoConnectionError, IncompleteReadError)
        if any(isinstance(each, BotoCoreError) and not isinstance(each, talking) for each in chain):
            return cls(sent=False, transient=False, advice="check the credentials and the storage options")
        return cls(sent=True, transient=True, advice="the connection broke; try again")


def _advice(answer: Refusal, *, transient: bool) -> str:
    if answer.code == "NoSuchBucket":
        return "create the bucket or check its name"
    if transient:
        return "try again"
    if answer.status in _FORBIDDEN:
        return "check the credentials and what they allow (s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject)"
    if answer.status == _NOT_IMPLEMENTED:
        return "the server lacks something that tablelog needs; use another one"
    return "check the storage options"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came from, nearest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
