"""An S3 server as tests see it, whichever program it is."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config

from tablelog import env


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A server that is running on 127.0.0.1."""

    endpoint_url: str
    key: str = "test"
    secret: str = "testtest"

    @property
    def storage_options(self) -> dict[str, Any]:
        """What `tablelog.connect` needs to know besides the URL."""
        return {"endpoint_url": self.endpoint_url, "key": self.key, "secret": self.secret, "region": "us-east-1"}

    def make_bucket(self, name: str) -> str:
        """Create a bucket of this name; returns its URL."""
        client = botocore.session.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket=name)
        client.close()
        return f"s3://{name}"

    def fresh_url(self) -> str:
        """A folder that nobody has used, in the bucket `test`, which the fixtures make."""
        return f"s3://test/{env.new_id()}"


def free_port() -> int:
    """A port on 127.0.0.1 on which nothing listened a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def missing_programs(*names: str) -> list[str]:
    """Those of `names` that this machine does not have."""
    return [name for name in names if shutil.which(name) is None]
