"""An S3 client (Amazon S3, MinIO, SeaweedFS) whose failures are errors of our tree.

Entry points: `read_keys`, `S3Config`, `Objects`. The device reads through it, the trainer writes.

Invariants
----------
1. A key pair enters as a value and is in no message, no log and no representation.
2. Every call has time-outs and few repeats; what fails is `StoreUnreachable`, and a store that answers otherwise than
   it was asked is never believed.
3. Nothing lists: a key that may read below one prefix is enough to read.
4. boto3 is imported when a store is opened, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from signals.config import Config
from signals.errors import BadConfig, StoreUnreachable
from signals.storage.places import Place
from signals.text.wording import reason_of

KEY_FILE, SECRET_FILE = "s3-key-id", "s3-secret-key"
PIECE = 2**18
MOST_WHOLE = 64 * 2**20  # what is read into memory at once: manifests, pointers and key sets are far smaller
SHA256 = "sha256"
ABSENT, REFUSED, CHANGED = 404, 403, frozenset({409, 412})
T = TypeVar("T")


@dataclass(frozen=True)
class S3Keys:
    """A key pair; never shown."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)


def read_keys(folder: Path | None) -> S3Keys:
    """Read a key pair from a folder of credentials; raise `BadConfig` where there is none."""
    if folder is None:
        raise BadConfig(
            "an object store needs a key pair",
            where="stores in config.yml",
            fix=f"Run under systemd with LoadCredential, or give --credentials DIR with {KEY_FILE} and {SECRET_FILE}",
        )
    try:
        return S3Keys(*((folder / name).read_text(encoding="utf-8").strip() for name in (KEY_FILE, SECRET_FILE)))
    except (OSError, ValueError) as error:
        said = reason_of(error)
        raise BadConfig(
            f"no key pair of the object store ({said})",
            where=str(folder),
            fix=f"It must hold {KEY_FILE} and {SECRET_FILE}; a key that may only read is enough for a device",
        ) from None


class S3Config(Config):
    """How the object store is reached.

    Attributes
    ----------
    endpoint : str
        Address of a MinIO, SeaweedFS or other server; empty is Amazon's.
    connect_seconds, read_seconds : float
        Time-outs of every request.
    attempts : int
        Most requests for one call, the first included.
    """

    endpoint: str = Field("", pattern=r"^(https?://[^/@\s]+/?)?$")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]+$")
    connect_seconds: float = Field(3.05, gt=0)
    read_seconds: float = Field(20.0, gt=0)
    attempts: int = Field(3, ge=1)


class Objects:
    """The objects below one place.

    Parameters
    ----------
    client : Any
        Of boto3; `Objects.opened` makes one.
    """

    def __init__(self, place: Place, client: Any) -> None:
        self.place, self._client = place, client

    @classmethod
    def opened(cls, place: Place, config: S3Config, keys: S3Keys | None) -> Objects:
        """Open a place; without `keys` boto3 looks for them where it always does: for the trainer only."""
        return cls(place, _client(config, keys))

    def at(self, place: Place) -> Objects:
        """Return the objects of another place of the same server."""
        return Objects(place, self._client)

    def get(self, name: str, *, refused_is_absent: bool = False) -> bytes | None:
        """Return a small object whole, None where there is none.

        Parameters
        ----------
        refused_is_absent : bool
            Amazon answers a key that may not list with a refusal where there is nothing.

        Raises
        ------
        StoreUnreachable
            No whole answer came, or one larger than `MOST_WHOLE`.
        """
        found = self.tagged(name, refused_is_absent=refused_is_absent)
        return None if found is None else found[0]

    def tagged(self, name: str, *, refused_is_absent: bool = False) -> tuple[bytes, str] | None:
        """As `get`, with the tag by which `put` knows this very content."""

        def read() -> tuple[bytes, str] | None:
            answer = self._ask(name, "get_object", refused_is_absent=refused_is_absent)
            if answer is None:
                return None
            with closing(answer["Body"]) as body:
                content: bytes = body.read(MOST_WHOLE + 1)
            if len(content) > MOST_WHOLE:
                raise StoreUnreachable(f"an answer of more than {MOST_WHOLE:,} bytes is none", where=self._where(name))
            if len(content) != int(answer.get("ContentLength", len(content))):
                raise StoreUnreachable("the answer was cut short", where=self._where(name))
            return content, str(answer.get("ETag", ""))

        return self._translated(name, read)

    def pieces(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield the object's bytes from `start` on; raise `StoreUnreachable` where it ends before it should."""
        try:
            answer = self._ask(name, "get_object", {"Range": f"bytes={start}-"} if start else {})
            if answer is None:
                raise StoreUnreachable("there is no such object", where=self._where(name))
            with closing(answer["Body"]) as body:
                skipped = start if not answer.get("ContentRange") else 0  # a server that ignores ranges sends it all
                for piece in body.iter_chunks(PIECE):
                    yield piece[skipped:]
                    skipped = max(0, skipped - len(piece))
        except _failures() as error:
            raise self._unreachable(name, error) from None

    def holds(self, name: str, sha256: str, size: int) -> bool:
        """Whether an object of this size was put under this name with this SHA-256, without reading it."""
        answer = self._translated(name, lambda: self._ask(name, "head_object"))
        return answer is not None and answer.get("ContentLength") == size and answer["Metadata"].get(SHA256) == sha256

    def put(self, name: str, content: bytes, *, sha256: str = "", instead_of: str | None = "") -> None:
        """Write an object.

        Parameters
        ----------
        sha256 : str
            Kept with it, for `holds`.
        instead_of : str or None
            Tag of the content that it replaces; None where there must be none; empty replaces whatever is there.

        Raises
        ------
        StoreUnreachable
            The store did not take it, or what is there is no longer `instead_of`.
        """
        condition = {} if instead_of == "" else {"IfNoneMatch": "*"} if instead_of is None else {"IfMatch": instead_of}
        options: dict[str, object] = {"Metadata": {SHA256: sha256}} if sha256 else {}
        self._translated(name, lambda: self._ask(name, "put_object", {"Body": content, **condition, **options}))

    def remove(self, name: str) -> None:
        """Let an object go; no error when there is none."""
        self._translated(name, lambda: self._ask(name, "delete_object"))

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names that begin with `prefix`, sorted; needs a key that may list."""

        def listed() -> tuple[str, ...]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=self.place.prefix + prefix)
            found = (row["Key"] for page in pages for row in page.get("Contents", ()))
            return tuple(sorted(key.removeprefix(self.place.prefix) for key in found))

        return self._translated(prefix, listed)

    def _ask(self, name: str, call: str, options: Mapping[str, object] | None = None, *, refused_is_absent: bool = False) -> Any:
        """Make one call; None where there is no such object."""
        from botocore.exceptions import ClientError

        absent = {ABSENT, REFUSED} if refused_is_absent else {ABSENT}

        try:
            return getattr(self._client, call)(Bucket=self.place.bucket, Key=self.place.key(name), **(options or {}))
        except ClientError as error:
            if _status(error) in absent and call != "put_object":
                return None
            raise

    def _translated(self, name: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except _failures() as error:
            raise self._unreachable(name, error) from None

    def _unreachable(self, name: str, error: Exception) -> StoreUnreachable:
        status = _status(error)
        if status == REFUSED:
            return StoreUnreachable(
                "the object store refuses this key",
                where=self._where(name),
                fix="Check the key pair in the credentials and what it may read",
            )
        if status in CHANGED:
            return StoreUnreachable("somebody else wrote it meanwhile", where=self._where(name), fix="Publish again: it starts from there")
        said = f"it answered {status}" if status else reason_of(error)
        return StoreUnreachable(
            f"the object store could not be used ({said})",
            where=self._where(name),
            fix="Check stores in config.yml and that the store is up; the same command may succeed later",
        )

    def _where(self, name: str) -> str:
        return f"{self.place}/{name}"


def _status(error: Exception) -> int:
    from botocore.exceptions import ClientError

    return int(error.response["ResponseMetadata"]["HTTPStatusCode"]) if isinstance(error, ClientError) else 0


def _failures() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, ClientError, HTTPError, OSError)


def _client(config: S3Config, keys: S3Keys | None) -> Any:
    import boto3
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import BotoCoreError

    pair = {} if keys is None else {"aws_access_key_id": keys.key_id, "aws_secret_access_key": keys.secret_key}
    try:
        session = boto3.session.Session(region_name=config.region, **pair)
        if keys is None and session.get_credentials() is None:
            raise BadConfig(
                "no key pair of the object store",
                where="where boto3 looks for one",
                fix=f"Give --credentials DIR with {KEY_FILE} and {SECRET_FILE}",
            )
        return session.client(
            "s3",
            endpoint_url=config.endpoint or None,
            config=ClientConfig(
                connect_timeout=config.connect_seconds,
                read_timeout=config.read_seconds,
                retries={"mode": "standard", "total_max_attempts": config.attempts},
                # Servers that are not Amazon's know neither bucket names as hosts nor the newer checksums.
                s3={"addressing_style": "path" if config.endpoint else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                ignore_configured_endpoint_urls=True,
                signature_version="s3v4",
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise BadConfig(f"the object store cannot be opened ({reason_of(error)})", where=config.endpoint) from None
