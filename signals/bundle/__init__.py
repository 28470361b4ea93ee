"""The bundle: what the trainer exports and the device verifies. `docs/bundle.md` gives the format byte by byte.

Entry points: `read_keyset` turns signed bytes into keys, `verify` turns a folder into a `Bundle`, `read_grant` reads
the one exception from the sequence rule. Everything else serves them or the publisher.
"""

from signals.bundle.contents import Contents, read_bundle_manifest, read_folder
from signals.bundle.golden import Golden
from signals.bundle.keyset import DataGrant, DataKeys, Keyset, RollbackGrant, SigningKey, read_data_grant, read_grant, read_keyset
from signals.bundle.manifest import BundleManifest, Part, Role
from signals.bundle.seal import PublicKey
from signals.bundle.verification import Bundle, HighWater, Policy, verify, verify_contents

__all__ = [
    "Bundle",
    "BundleManifest",
    "Contents",
    "DataGrant",
    "DataKeys",
    "Golden",
    "HighWater",
    "Keyset",
    "Part",
    "Policy",
    "PublicKey",
    "Role",
    "RollbackGrant",
    "SigningKey",
    "read_bundle_manifest",
    "read_data_grant",
    "read_folder",
    "read_grant",
    "read_keyset",
    "verify",
    "verify_contents",
]
