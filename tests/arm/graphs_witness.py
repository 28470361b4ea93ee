"""What one machine computes of exported graphs: their outputs of the rows that lie beside them.

It runs on the emulated machine, and imports nothing but the device's own packages.

    python graphs_witness.py --folder FOLDER --to FILE.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from signals.models.inference import FEATURES, SCORE, GraphMember, infer


def main() -> None:
    """Compute it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    found = {}
    for path in sorted(asked.folder.glob("*.onnx")):
        with np.load(path.with_suffix(".npz")) as beside:
            member = GraphMember(path.read_bytes(), {SCORE: int(beside["width"])}, profile=str(beside["profile"]))
            found[path.stem] = infer([member], {FEATURES: beside["rows"]})[SCORE]
    np.savez(asked.to, **found)


if __name__ == "__main__":
    main()
