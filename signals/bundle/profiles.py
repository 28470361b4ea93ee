"""Operator profiles: which ONNX operators a graph may use, how large it may be and how much memory it may take.

A profile is named with its version, so that a device knows every operator that its name allows; one more operator is
one more version. Each view of features has its profile, and a graph of one view cannot claim the operators of another.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from signals.views import View

MEBIBYTE = 1024 * 1024

_TABLE_NAMES: Final = """
    Add BatchNormalization Cast Clip Concat Div Elu Erf Exp Flatten Gather Gemm Greater Identity IsNaN LayerNormalization
    MatMul Max Mean Min Mul Neg Pow ReduceMean ReduceSum Relu Reshape Sigmoid Slice Softmax Softplus Split Sqrt Squeeze Sub
    Sum Tanh Transpose Unsqueeze Where
"""
_TABLE: Final = frozenset(_TABLE_NAMES.split())
_TREES: Final = frozenset(["ArrayFeatureExtractor", "Imputer", "Normalizer", "Scaler", "TreeEnsemble", "TreeEnsembleRegressor"])
_CONVOLUTIONS: Final = frozenset(["Conv", "MaxPool", "Pad"])
_RECURRENCES: Final = frozenset(["Expand", "GRU", "LSTM", "Shape"])


class ProfileName(StrEnum):
    """Names of the profiles, as manifests hold them."""

    TABLE_1 = "table-1"
    SEQUENCE_1 = "sequence-1"
    IMAGE_1 = "image-1"


@dataclass(frozen=True)
class Profile:
    """Limits and operators that a graph may use.

    Attributes
    ----------
    operators : mapping of domain to names
    max_bytes, max_nodes : int
        Of one file.
    data_bytes, data_bytes_per_model_byte : int
        Memory that a process which runs it may take: so much, and so much a byte of its file.
    """

    operators: dict[str, frozenset[str]]
    max_bytes: int
    max_nodes: int
    data_bytes: int
    data_bytes_per_model_byte: int


PROFILES: Final = {
    # The runtime takes 140 MB, and 14 bytes a byte of a tree ensemble were measured.
    ProfileName.TABLE_1: Profile({"": _TABLE, "ai.onnx.ml": _TREES}, 50 * MEBIBYTE, 1_000, 256 * MEBIBYTE, 24),
    # The largest of the networks that are known to be of use has 3.6 MB and 109 nodes.
    ProfileName.SEQUENCE_1: Profile({"": _TABLE | _CONVOLUTIONS | _RECURRENCES}, 16 * MEBIBYTE, 500, 384 * MEBIBYTE, 8),
    ProfileName.IMAGE_1: Profile({"": _TABLE | _CONVOLUTIONS}, 16 * MEBIBYTE, 500, 384 * MEBIBYTE, 8),
}
PROFILE_OF_VIEW: Final = {
    "table": ProfileName.TABLE_1,
    "windows": ProfileName.SEQUENCE_1,
    "several_windows": ProfileName.SEQUENCE_1,
    "session_bars": ProfileName.SEQUENCE_1,
    "image": ProfileName.IMAGE_1,
    "bar_image": ProfileName.IMAGE_1,
}


def profile_of(view: View) -> ProfileName:
    """Return the profile that graphs of a view have."""
    return PROFILE_OF_VIEW[view.kind]
