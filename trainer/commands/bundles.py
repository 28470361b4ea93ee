"""`trainer keys | rotate-keys | publish | grant-rollback | grant-data`: keys, signed bundles and rollback grants."""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from signals.bundle import DataGrant, Keyset, Role, SigningKey
from signals.errors import FixInput
from signals.files import sha256_of_file, write_atomic
from signals.text.console import Kept, emit, progress
from trainer.clock import now
from trainer.commands.options import OURS, PUBLISHING, VAR, WORKSPACE, AsJson, Keys, Registry, Run, Store, dated, registered
from trainer.publishing import keys as sign
from trainer.publishing import rollback
from trainer.publishing.key_files import ONE_FILE
from trainer.publishing.publish import PublishRequest
from trainer.publishing.remote import deliver_keyset, deliver_root
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store

VALID_DAYS = 3 * 365
LOCK = Path(__file__).resolve().parents[2] / "requirements" / "trainer.txt"


Until = Annotated[date | None, dated("Last day on which they are accepted.", show_default="three years from now")]
LastDay = Annotated[date, dated("Last day on which it may be used.")]
Reason = Annotated[str, typer.Option(help="For the record.")]
Written = Annotated[Path, typer.Option(help="File to write.")]


def keys(
    to: Annotated[Path, typer.Option(help="New folder for the root key, the signing keys and the key set.", show_default=WORKSPACE)] = OURS,
    valid_until: Until = None,
    signers: Annotated[int, typer.Option(min=1, max=8, help="Signing keys to make.")] = 1,
    threshold: Annotated[int, typer.Option(min=1, help="How many of them must sign a bundle.")] = 1,
    data_signers: Annotated[int, typer.Option(min=1, max=8, help="Data keys to make.")] = 1,
    data_threshold: Annotated[int, typer.Option(min=1, help="How many of them must sign a published dataset.")] = 1,
    one_file: Annotated[
        bool, typer.Option("--one-file", help="For one person: every private key in one file, locked with a pass phrase.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the offline root key, the online signing and data keys and the first key set.

    With --one-file they are separate keys still, in keys.pem, each locked with the pass phrase, which is asked for or is in the
    file that `passphrase` of the workspace names. A person with both has the root key too; with an offline root key nobody has.
    """
    keyset = sign.create_keys(to, _until(valid_until), sign.KeyCounts(signers, threshold, data_signers, data_threshold), one_file=one_file)
    advice = f"Keep a copy of {to / ONE_FILE}." if one_file else f"Move {to / sign.ROOT_KEY} offline."
    _emit_keyset(keyset, to, as_json, f"{advice} `trainer pair` gives {sign.ROOT_PUBLIC} to devices.")


def rotate_keys(
    keys: Keys = OURS,
    add: Annotated[bool, typer.Option(help="Add a signing key; bundles are signed with every usable key.")] = False,
    add_data: Annotated[bool, typer.Option(help="Add a data key; a key set that had none is brought to format 2.")] = False,
    retire: Annotated[str, typer.Option(help="Key id whose signatures end with --valid-until.")] = "",
    revoke: Annotated[str, typer.Option(help="Key id to refuse at once.")] = "",
    valid_until: Until = None,
    to: Annotated[str, typer.Option(help="Store to deliver the new key set to at once: a folder or s3://bucket/prefix.")] = "",
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Change the key set: exactly one of --add, --add-data, --retire, --revoke."""
    if sum(map(bool, (add, add_data, retire, revoke))) != 1:
        raise FixInput("exactly one change at a time", fix="Use one of --add, --add-data, --retire KEYID, --revoke KEYID")
    if add:
        keyset = sign.add_key(keys, _until(valid_until))
    elif add_data:
        keyset = sign.add_data_key(keys, _until(valid_until))
    elif retire:
        if valid_until is None:
            raise FixInput("retiring a key needs its last day", where="--valid-until", fix="Give --valid-until")
        keyset = sign.retire_key(keys, retire, valid_until)
    else:
        keyset = sign.revoke_key(keys, revoke)
    if to:
        deliver_keyset(dataset_store(to, endpoint, credentials), keys)
    when = "with their next pull" if to else "with the next bundle that is published"
    _emit_keyset(keyset, keys, as_json, f"Devices learn of it {when}.")


def pair(keys: Keys = OURS, to: Store = OURS, endpoint: Endpoint = "", credentials: S3Credentials = None, as_json: AsJson = False) -> None:
    """Put the root's public key and the key set into the store, and print the fingerprint for `appliance trust`.

    The fingerprint goes to the device by you: it decides which bundles that device trusts.
    """
    root = deliver_root(dataset_store(to, endpoint, credentials), keys)
    text = f"{to} holds the root key {root.keyid}. On the device:\n  appliance trust {root.fingerprint} --store {to}"
    emit({"root_key": root.keyid, "fingerprint": root.fingerprint, "store": to}, as_json=as_json, text=text)


def publish(
    role: Annotated[Role, typer.Option(help="What it is published as; a champion needs a promotion record.")],
    run: Run = OURS,
    keys: Keys = OURS,
    to: Store = OURS,
    refusal: Annotated[str, typer.Option(help="Why an evaluation is unproven.", show_default="the verdict on the run")] = "",
    registry: Registry = VAR,
    accept: Annotated[str, typer.Option(help="Accept an evaluation, and why: `trainer retrain` then keeps it young.")] = "",
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign a run as a bundle, verify it as a device would, and publish it."""
    request = PublishRequest(run, role, keys, Path(to), now(), refusal, sha256_of_file(LOCK) if LOCK.exists() else "")
    from trainer.lineage.retrain import publish_as  # here: it loads the learners

    kept = Kept("a bundle that was in the store already stays there, whole", "Run the same command: it publishes the next number")
    with progress("publishing", as_json=as_json, kept=lambda: kept):
        done, place = publish_as(request, to, registry, accept=accept, endpoint=endpoint, credentials=credentials)
    emit(
        {"folder": place, "seq": done.seq, "bundle_id": done.bundle_id, "sha256": done.sha256, "role": done.role},
        as_json=as_json,
        text=f"Published bundle {done.bundle_id}, sequence {done.seq}, as {done.role}: {place}",
    )


def grant_rollback(
    bundle: Annotated[str, typer.Option(help="The older bundle: folder name <seq>-<bundle id>.")],
    high_water: Annotated[int, typer.Option(help="Sequence that the device runs now.")],
    valid_until: LastDay,
    reason: Reason,
    to: Written,
    keys: Keys = OURS,
) -> None:
    """Sign permission for devices at one sequence to return to one older bundle."""
    grant = rollback.grant(bundle, high_water, valid_until, reason)
    write_atomic(to, sign.grant_rollback(keys, grant))
    typer.echo(f"Signed: devices at sequence {high_water} may return to {bundle} until {grant.valid_until}.")


def grant_data(
    name: Annotated[str, typer.Option(help="Name of the dataset.")],
    version: Annotated[int, typer.Option(min=1, help="Oldest version that devices shall accept from now on.")],
    high_water: Annotated[int, typer.Option(min=1, help="Newest version that the device has accepted; its refusal names it.")],
    valid_until: LastDay,
    reason: Reason,
    to: Written,
    keys: Keys = OURS,
) -> None:
    """Sign permission for devices that have accepted one version of a dataset to continue from an older one."""
    if version > high_water:
        raise FixInput(f"version {version} is not older than {high_water}", where="--version", fix="Name an older version")
    grant = DataGrant(name=name, version=version, high_water=high_water, valid_until=valid_until, reason=reason)
    write_atomic(to, sign.grant_data(keys, grant))
    typer.echo(f"Signed: devices that saw version {high_water} of {name} may go on from {version} until {grant.valid_until}.")


def _until(last: date | None) -> date:
    return last or now().date() + timedelta(days=VALID_DAYS)


def _emit_keyset(keyset: Keyset, folder: Path, as_json: bool, advice: str) -> None:
    rows = [f"  {_line(key)}" for key in keyset.keys]
    head = f"Key set {keyset.version} in {folder}: {keyset.threshold} of {len(keyset.keys)} keys must sign"
    if keyset.data is not None:
        head = f"{head} a bundle, {keyset.data.threshold} of {len(keyset.data.keys)} a dataset"
        rows += [f"  {_line(key)}  data" for key in keyset.data.keys]
    emit(keyset.model_dump(mode="json"), as_json=as_json, text="\n".join([head, *rows, advice]))


def _line(key: SigningKey) -> str:
    return f"{key.keyid}  until {key.valid_until}{'  REVOKED' if key.revoked else ''}"


register = registered({PUBLISHING: (keys, rotate_keys, pair, publish, grant_rollback, grant_data)})
