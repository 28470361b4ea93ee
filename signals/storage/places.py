"""A storage location: a folder, or a prefix in an S3 bucket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from signals.errors import BadConfig, InvariantBroken

SCHEME = "s3://"


def is_s3(place: str) -> bool:
    """Whether `place` names an object store rather than a folder."""
    return place.startswith(SCHEME)


@dataclass(frozen=True)
class Place:
    """A prefix in a bucket; `prefix` is empty or ends in a slash."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `s3://bucket/prefix`; raise `BadConfig` for anything else."""
        bucket, _, prefix = text.removeprefix(SCHEME).rstrip("/").partition("/")
        if not is_s3(text) or not bucket or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
            raise BadConfig("not the place of an object store", where=text, fix="Write it as s3://bucket/prefix")
        return cls(bucket, f"{prefix}/" if prefix else "")

    def below(self, name: str) -> Place:
        """Return the place `name` inside this one."""
        return Place(self.bucket, f"{self.prefix}{name}/")

    def key(self, name: str) -> str:
        """Return the key of the object `name` inside this place."""
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise InvariantBroken("an object's name stays inside its store", where=name)
        return self.prefix + name

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")
