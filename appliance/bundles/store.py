"""The device's bundle store: the bundle in force, the highest sequence ever seen, and the switch between bundles.

Files, below `state/bundles`, shared by all slots:
    root.pub              the offline root's public key, given once when the device is initialised
    keyset.json           the newest root-signed key set
    activated.json        newest sequence ever activated in each slot: a slot whose own record is lost is refused

and below the slot's folder there (`appliance.bundles.slots`):
    high_water.json       newest sequence ever activated, and its bundle id
    current.json          the bundle in force: folder, manifest sha256, and the rollback grant if there is one
    <seq>-<bundle id>/    verified bundles

Invariants
----------
1. A refused bundle changes nothing: the pointer, the high-water and the bundle in force stay.
2. The high-water is durable before the pointer names a newer bundle, and never goes down: a lost one is a refusal, never 0.
3. What is copied into place is what was verified, from memory; the source folder is not read again.
4. The bundle in force is verified again, from its own bytes, every time it is loaded.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from appliance.system.ports import Fs
from signals.bundle import (
    Bundle,
    HighWater,
    Keyset,
    Policy,
    PublicKey,
    Role,
    RollbackGrant,
    read_bundle_manifest,
    read_grant,
    read_keyset,
    verify,
)
from signals.bundle.child_inference import infer_in_child
from signals.bundle.manifest import MANIFEST_NAME
from signals.bundle.seal import Document, parse
from signals.bundle.verification import Infer
from signals.errors import BundleRefused, FixInput
from signals.models.inference import infer

ROOT_FILE, KEYSET_FILE, ACTIVATED_FILE = "root.pub", "keyset.json", "activated.json"
HIGH_WATER_FILE, CURRENT_FILE = "high_water.json", "current.json"


class Pointer(Document):
    """The content of `current.json`.

    Attributes
    ----------
    seq, bundle_id : int, str
    folder : str
        Name of the folder below `state/bundles`.
    sha256 : str
        Of the manifest's stored bytes.
    grant : str or None
        The signed rollback grant that allows an older bundle, as it was delivered.
    """

    seq: int = Field(ge=1)
    bundle_id: str
    folder: str = Field(pattern=r"^[0-9]+-[0-9a-f]{16}$")
    sha256: str
    grant: str | None = None


class StoredHighWater(Document):
    """The content of `high_water.json`."""

    seq: int = Field(ge=1)
    bundle_id: str


class Activated(Document):
    """The content of `activated.json`: the newest sequence of each slot, by its path below `state/bundles`."""

    slots: dict[str, int]


@dataclass(frozen=True)
class Activation:
    """The outcome of `activate`: the verified bundle, and whether it is a change."""

    bundle: Bundle
    is_new: bool


class BundleStore:
    """The bundles of one state folder.

    Parameters
    ----------
    folder : Path
        Of the slot.
    keys : Path, optional
        Folder of the root key and the key set; `folder` itself unless given. Neighbouring stores share them, so
        that a revoked key is revoked for all.
    fs : Fs
        Every write is durable, whole or not at all.
    prove : callable, optional
        How golden vectors are reproduced before activation; a limited child process by default.
    """

    def __init__(self, folder: Path, fs: Fs, *, keys: Path | None = None, prove: Infer = infer_in_child) -> None:
        self._folder, self._fs, self._prove = folder, fs, prove
        self._keys = keys or folder

    def trust(self, root: PublicKey) -> None:
        """Write the root key that this device trusts; raise `FixInput` when it already trusts another one."""
        current = self._fs.read(self._keys / ROOT_FILE)
        if current is not None and PublicKey.from_text(current.decode()) != root:
            raise FixInput(
                "this device already trusts another root key",
                where=str(self._keys / ROOT_FILE),
                fix="Initialise a new state folder to change the root",
            )
        self._fs.write(self._keys / ROOT_FILE, root.text.encode() + b"\n")

    def roots(self) -> tuple[PublicKey, ...]:
        """Root keys that this device trusts; raise `BundleRefused` when it was given none."""
        content = self._fs.read(self._keys / ROOT_FILE)
        if content is None:
            raise BundleRefused(
                "this device trusts no root key", where=str(self._keys / ROOT_FILE), fix="Run `appliance init` with the trainer's root.pub"
            )
        return (PublicKey.from_text(content.decode(errors="replace")),)

    def install_keyset(self, content: bytes) -> Keyset:
        """Check a delivered `keyset.json` and keep it; an older version than the one kept is refused."""
        current = self._fs.read(self._keys / KEYSET_FILE)
        minimum = read_keyset(current, self.roots()).version if current is not None else 0
        keyset = read_keyset(content, self.roots(), minimum_version=minimum)
        if content != current:
            self._fs.write(self._keys / KEYSET_FILE, content)
        return keyset

    def keyset(self) -> Keyset:
        """Return the key set that is kept; raise `BundleRefused` when there is none."""
        content = self._fs.read(self._keys / KEYSET_FILE)
        if content is None:
            raise BundleRefused("no key set has been delivered", fix="Run `appliance pull`")
        return read_keyset(content, self.roots())

    def high_water(self) -> HighWater:
        """Newest sequence ever activated here; the pointer counts too, should the other file be lost.

        Raises
        ------
        BundleRefused
            Both are lost, or what is left of them is older than what was activated here.
        """
        seen = [HighWater()]
        if (content := self._fs.read(self._folder / HIGH_WATER_FILE)) is not None:
            stored = parse(content, StoredHighWater, HIGH_WATER_FILE)
            seen.append(HighWater(stored.seq, stored.bundle_id))
        if pointer := self.current():
            seen.append(HighWater(pointer.seq, pointer.bundle_id))
        mark = max(seen, key=lambda mark: mark.seq)
        if mark.seq < (known := self._activated().slots.get(self._slot, 0)):
            raise BundleRefused(
                f"the high-water of this slot is lost: sequence {known} was activated here",
                where=str(self._folder / HIGH_WATER_FILE),
                fix="Restore the file from a copy of the state folder, or begin a new one with `appliance init`",
            )
        return mark

    @property
    def _slot(self) -> str:
        return self._folder.relative_to(self._keys).as_posix()

    def _activated(self) -> Activated:
        content = self._fs.read(self._keys / ACTIVATED_FILE)
        return Activated(slots={}) if content is None else parse(content, Activated, ACTIVATED_FILE)

    def remember(self, mark: HighWater) -> None:
        """Write a high-water above the one that is known, then in the record of all slots that there is one."""
        stored = StoredHighWater(seq=mark.seq, bundle_id=mark.bundle_id)
        self._fs.write(self._folder / HIGH_WATER_FILE, stored.to_bytes())
        known = self._activated().slots
        if known.get(self._slot, 0) < mark.seq:
            self._fs.write(self._keys / ACTIVATED_FILE, Activated(slots={**known, self._slot: mark.seq}).to_bytes())

    def current(self) -> Pointer | None:
        """Return what is in force, or None on a device that never activated a bundle."""
        content = self._fs.read(self._folder / CURRENT_FILE)
        return None if content is None else parse(content, Pointer, CURRENT_FILE)

    def role(self) -> Role | None:
        """Return the role of the bundle in force, as its own manifest says it; None where none can be read."""
        pointer = self.current()
        content = self._fs.read(self._folder / pointer.folder / MANIFEST_NAME) if pointer else None
        try:
            return read_bundle_manifest(content, MANIFEST_NAME).role if content is not None else None
        except BundleRefused:
            return None  # `load` says so

    def activate(self, incoming: Path, policy: Policy) -> Activation:
        """Verify the downloaded folder `incoming` and put it in force.

        Raises
        ------
        BundleRefused
            The first check that failed; nothing was changed.
        OSError
            The disk is full or failing; the bundle in force stays in force.
        """
        mark, current = self.high_water(), self.current()
        if current and current.grant:  # a person went back: only something newer ends that, not the one left behind
            mark = HighWater(mark.seq)
        bundle = verify(incoming, self.keyset(), replace(policy, high_water=mark, grant=None), reproduce=self._prove)
        return self._switch(bundle, mark, None)

    def roll_back(self, incoming: Path, policy: Policy, grant: bytes) -> Activation:
        """Put an older bundle in force that a root-signed grant names; the high-water stays where it is."""
        mark = self.high_water()
        allowed = replace(policy, high_water=mark, grant=self._read_grant(grant))
        bundle = verify(incoming, self.keyset(), allowed, reproduce=self._prove)
        return self._switch(bundle, mark, grant.decode() if bundle.manifest.seq < mark.seq else None)

    def load(self, policy: Policy, *, reproduce: Infer = infer) -> Bundle:
        """Verify the bundle in force again and return it.

        Its golden vectors run in this process: the same bytes have passed in a child when it was activated. An expired
        bundle is returned, not refused: its age is a tripwire's business.

        Raises
        ------
        BundleRefused
            There is none, or it is no longer what was activated, or its key has been revoked since.
        """
        pointer = self.current()
        if pointer is None:
            raise BundleRefused("no bundle has been activated", fix="Run `appliance pull`")
        mark = HighWater(pointer.seq, pointer.bundle_id)
        if pointer.grant is not None:
            self._read_grant(pointer.grant.encode())
        bundle = verify(
            self._folder / pointer.folder, self.keyset(), replace(policy, high_water=mark, refuses_expired=False), reproduce=reproduce
        )
        if bundle.sha256 != pointer.sha256:
            raise BundleRefused("the bundle in force is not the one that was activated", where=pointer.folder, fix="Run `appliance pull`")
        return bundle

    def _switch(self, bundle: Bundle, mark: HighWater, grant: str | None) -> Activation:
        manifest, current = bundle.manifest, self.current()
        name = f"{manifest.seq}-{manifest.bundle_id}"
        pointer = Pointer(seq=manifest.seq, bundle_id=manifest.bundle_id, folder=name, sha256=bundle.sha256, grant=grant)
        for file, content in bundle.contents.files.items():
            if self._fs.read(self._folder / name / file) != content:
                self._fs.write(self._folder / name / file, content)
        if manifest.seq > mark.seq:
            self.remember(HighWater(manifest.seq, manifest.bundle_id))
        if pointer != current:
            self._fs.write(self._folder / CURRENT_FILE, pointer.to_bytes())
        return Activation(bundle, is_new=current is None or current.sha256 != bundle.sha256)

    def _read_grant(self, content: bytes) -> RollbackGrant:
        return read_grant(content, self.roots())
