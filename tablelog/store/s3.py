"""A bucket as a store, over s3fs: Amazon S3 and every server that speaks its protocol.

    get            GetObject, with a Range                 list     ListObjectsV2, a page of up to 1000 keys per request
    put            PutObject; above 64 MB in parts         delete   DeleteObject
    put_if_absent  PutObject with `If-None-Match: *`       head     HeadObject

A create is always one PUT, whatever its size: some servers ignore the condition when parts are put together. Requests
go out once. Only the HTTP client may still send one twice, when the server closes a kept connection just then;
`put_if_absent` may then say False about its own object, as the protocol allows.

The filesystem object of s3fs lives in one process. It is made at the first request, anew after a fork or unpickling.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import InvalidError, NotFoundError, StoreError
from tablelog.store.base import ByteRange, ObjectInfo, check_key, check_prefix
from tablelog.store.s3_errors import failure, is_of_network, refusal
from tablelog.store.s3_options import s3fs_arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

_SINGLE_PUT_MAX_BYTES: Final = 64 << 20
_PART_MIN_BYTES: Final = 32 << 20
_PARTS_MAX: Final = 10_000
_PARTS_AT_ONCE: Final = 8

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_MISSING: Final = 404
_EXISTS: Final = 412
_UNSATISFIABLE_RANGE: Final = 416
_PARTIAL: Final = 206


class S3Store:
    """The objects of one bucket. Safe among threads; can be pickled and used after a fork.

    Verbs raise `StoreError` as `tablelog.store.s3_errors` tells; `RetryingStore` rides out the passing ones.
    """

    def __init__(self, bucket: str, options: Mapping[str, Any] | None = None, *, page_keys: int = 1000) -> None:
        """Keep the address; nothing is sent.

        `options` are told in `tablelog.store.s3_options`. `page_keys` bounds the keys that one request of a listing
        brings.
        """
        if not _BUCKET.fullmatch(bucket):
            message = "the bucket in an s3:// URL is not a bucket's name" + (
                "; credentials belong into storage_options, as 'key' and 'secret'" if "@" in bucket else f": {bucket!r}"
            )
            raise InvalidError(message)
        self._bucket = bucket
        self._options = dict(options or {})
        self._page_keys = page_keys
        self._arguments = s3fs_arguments(self._options)
        self._profile: str | None = self._arguments.pop("profile", None)
        self._filesystems: dict[int, Any] = {}

    def __repr__(self) -> str:
        """Name the bucket, and none of the options."""
        return f"S3Store({self._bucket!r})"

    def __reduce__(self) -> tuple[Callable[..., S3Store], tuple[str, dict[str, Any]]]:
        """Travel as an address; the other process connects for itself. The options, with any secret, travel too."""
        return (partial(S3Store, page_keys=self._page_keys), (self._bucket, self._options))

    @property
    def url(self) -> str:
        """`s3://bucket`."""
        return f"s3://{self._bucket}"

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        if byte_range is not None and byte_range.start == byte_range.end:
            self.head(key)  # HTTP has no empty range, yet a key that is not there must be told.
            return b""
        check_key(key)
        data: bytes | None = self._ask("read", key, partial(self._read, key, byte_range), accept=_UNSATISFIABLE_RANGE)
        return data or b""

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace, whole or not at all.

        One request up to 64 MiB; above, one for each part of 32 MiB or more, and two.
        """
        check_key(key)
        write = self._write if memoryview(data).nbytes <= _SINGLE_PUT_MAX_BYTES else self._write_parts
        self._ask("write", key, partial(write, key, data), changing=True)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists."""
        check_key(key)
        request = partial(self._write, key, data, IfNoneMatch="*")
        return self._ask("create", key, request, changing=True, accept=_EXISTS) is not None

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`; in key order on most servers.

        One request per page.
        """
        check_prefix(prefix)
        position = {"StartAfter": start_after} if start_after else {}
        while True:
            page = self._ask("list", prefix, partial(self._list_page, prefix, position))
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                # Some servers ignore StartAfter; some tools write empty objects whose names end in "/" to draw folders.
                if key > start_after and key.startswith(prefix) and not key.endswith("/"):
                    yield ObjectInfo(key=key, size_bytes=entry["Size"], modified_us=_us(entry["LastModified"]))
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or position.get("ContinuationToken") == token:
                message = f"cannot list {self.url}/{prefix}: the server says that there is more, but not where"
                raise StoreError(message)
            position = {"ContinuationToken": token}

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        check_key(key)
        self._ask("delete", key, partial(self._call, "delete_object", Key=key), changing=True, accept=_MISSING)

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        check_key(key)
        answer = self._ask("look at", key, partial(self._call, "head_object", Key=key))
        return ObjectInfo(key=key, size_bytes=answer["ContentLength"], modified_us=_us(answer["LastModified"]))

    def sweep(self, prefix: str, older_than_us: int, *, dry_run: bool) -> int:
        """Abort uploads in parts below `prefix` begun before `older_than_us`; how many, at most 1000.

        One request for each, and one to list them.
        """
        check_prefix(prefix)
        answer = self._ask("sweep", prefix, partial(self._call, "list_multipart_uploads", Prefix=prefix))
        old = [
            upload
            for upload in answer.get("Uploads", ())
            if upload["Key"].startswith(prefix) and _us(upload["Initiated"]) < older_than_us
        ]
        for upload in () if dry_run else old:
            abort = partial(self._call, "abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])
            self._ask("sweep", upload["Key"], abort, changing=True, accept=_MISSING)
        return len(old)

    def _ask(
        self, verb: str, key: str, request: Callable[[Any], Awaitable[Any]], *, changing: bool = False, accept: int = 0
    ) -> Any:
        """The request's answer, or None if the server refused it with the HTTP status `accept`.

        Raises what any other failure means.
        """
        from fsspec.asyn import sync  # noqa: PLC0415 - see _filesystem

        filesystem = self._filesystem()
        try:
            return sync(filesystem.loop, request, filesystem)
        except Exception as error:
            answer = refusal(error)
            if answer is not None and answer.code != "NoSuchBucket":
                if answer.status == accept:
                    return None
                if answer.status == _MISSING and not changing:
                    message = f"there is no object {self.url}/{key}"
                    raise NotFoundError(message) from None
            if not is_of_network(error):
                raise
            raise failure(error, what=f"{verb} {self.url}/{key}", changing=changing) from error

    def _filesystem(self) -> Any:
        """This process's connection. Two threads may both make one at first; one of them is then kept."""
        from s3fs import S3FileSystem  # noqa: PLC0415 - half a second that only users of S3 should pay

        process = os.getpid()
        filesystem = self._filesystems.get(process)
        if filesystem is None:
            filesystem = S3FileSystem(**{"session": _session(self._profile)} | self._arguments)
            filesystem.retries = 1
            filesystem = self._filesystems.setdefault(process, filesystem)
        return filesystem

    async def _call(self, method: str, filesystem: Any, **parameters: Any) -> Any:
        """One request."""
        return await filesystem._call_s3(method, Bucket=self._bucket, **parameters)  # noqa: SLF001 - fsspec's async API

    async def _read(self, key: str, byte_range: ByteRange | None, filesystem: Any) -> bytes:
        where = {} if byte_range is None else {"Range": f"bytes={byte_range.start}-{byte_range.end - 1}"}
        answer = await self._call("get_object", filesystem, Key=key, **where)
        async with answer["Body"] as stream:
            data: bytes = await stream.read()
        if byte_range is None or answer["ResponseMetadata"]["HTTPStatusCode"] == _PARTIAL:
            return data
        # A server may ignore the range and send everything.
        return data[byte_range.start : byte_range.end]

    async def _write(self, key: str, data: bytes | memoryview, filesystem: Any, **condition: str) -> Any:
        return await self._call("put_object", filesystem, Key=key, Body=bytes(data), **condition)

    async def _write_parts(self, key: str, data: bytes | memoryview, filesystem: Any) -> Any:
        """Upload in parts, several at once; readers see the object when the last request is done."""
        view = memoryview(data).cast("B")
        part_bytes = max(_PART_MIN_BYTES, -(-view.nbytes // _PARTS_MAX))
        begun = await self._call("create_multipart_upload", filesystem, Key=key)
        upload = {"Key": key, "UploadId": begun["UploadId"]}
        turn = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def send(number: int) -> dict[str, Any]:
            async with turn:
                part = bytes(view[(number - 1) * part_bytes : number * part_bytes])
                answer = await self._call("upload_part", filesystem, **upload, PartNumber=number, Body=part)
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            async with asyncio.TaskGroup() as group:
                sending = [group.create_task(send(1 + number)) for number in range(-(-view.nbytes // part_bytes))]
        except ExceptionGroup as errors:
            await self._call("abort_multipart_upload", filesystem, **upload)
            first = errors.exceptions[0]
            raise first from first.__cause__  # The cause holds the server's answer.
        parts = {"Parts": [task.result() for task in sending]}
        return await self._call("complete_multipart_upload", filesystem, **upload, MultipartUpload=parts)

    async def _list_page(self, prefix: str, position: Mapping[str, str], filesystem: Any) -> Any:
        return await self._call("list_objects_v2", filesystem, Prefix=prefix, MaxKeys=self._page_keys, **position)


def _session(profile: str | None) -> Any:
    """A session with credentials of its own, and with everybody's copy of what the client knows about S3."""
    from aiobotocore.session import AioSession  # noqa: PLC0415 - see S3Store._filesystem

    session = AioSession(profile=profile)
    session.register_component("data_loader", _service_models())
    return session


@functools.cache
def _service_models() -> Any:
    """The description of S3 that requests are made from: 100 ms to parse, so once per process."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - see S3Store._filesystem

    return create_loader()


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
