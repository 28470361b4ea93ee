"""Opens the object stores given on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from signals.config import parse
from signals.storage.places import Place, is_s3
from signals.storage.s3 import Objects, S3Config, read_keys
from trainer.curation.store import BucketStore, FolderObjectStore, ObjectStore

Endpoint = Annotated[str, typer.Option(help="Address of a MinIO, SeaweedFS or other S3 server; Amazon's where absent.")]
S3Credentials = Annotated[Path | None, typer.Option(help="Folder with s3-key-id and s3-secret-key; boto3's own places where absent.")]


def objects_at(to: str, endpoint: str, credentials: Path | None) -> Objects:
    """Open `s3://bucket/prefix`; raise `BadConfig` where the place or the keys are none."""
    config = parse({"endpoint": endpoint}, S3Config, where="--endpoint")
    return Objects.opened(Place.parse(to), config, read_keys(credentials) if credentials else None)


def dataset_store(to: str, endpoint: str, credentials: Path | None) -> ObjectStore:
    """Open the store of a dataset, a folder or an object store."""
    return BucketStore(objects_at(to, endpoint, credentials)) if is_s3(to) else FolderObjectStore(Path(to))
