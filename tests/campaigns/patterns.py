"""A net of pictures sees planted shapes in a generated mix, and says how sure it may be.

    make pattern-campaign [PATTERN_IMAGES=6000 PATTERN_CHANNELS=16,32,64]

Windows of 127 bars of known shapes are painted; the net of the family `bar_cnn` is fitted on classes that are planted alike, its map
is fitted on further ones, and it is judged on others in a mix of which 70 % show no shape, half of those one that ended some bars
earlier. Asked: macro-F1 of at least 0.85, a calibration error of at most 0.03, the export equal to the net, and of the reference
net (32, 64 and 128 channels) at most 5 ms of one thread for a row.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from signals.models.heads import PatternHead
from signals.models.inference import FEATURES, open_session
from signals.sleeves.patterns import PATTERNS
from tests.fakes.shapes import Windows, windows
from trainer.learners.base import FitDevice
from trainer.learners.export import export
from trainer.learners.networks.parameters import BarCnnConfig
from trainer.learners.table import learner_named
from trainer.tasks.bar_pattern.labels import CLASSES, PatternRecipe
from trainer.tasks.bar_pattern.task import PatternLearner, fit_map, lines, outputs_of, pattern_figures

TAUGHT, MIX = (0.4, 0.15, 0.15, 0.15, 0.15), (0.7, 0.1, 0.1, 0.05, 0.05)
LEAST_F1, MOST_ECE, MOST_MS = 0.85, 0.03, 5.0
REFERENCE = BarCnnConfig().channels
LATENCY_RUNS = 200


def shown(made: Windows) -> np.ndarray:
    return made.pictures() / np.float32(255)


def latency(channels: tuple[int, ...]) -> tuple[float, float]:
    """Median and 95th percentile of the CPU milliseconds of one row on one thread, of a net that learned little: it costs the same."""
    few = windows(9, 64, TAUGHT)
    config = PatternRecipe.model_validate({"bar_cnn": {"channels": channels, "epochs": 1}})
    net = learner_named("bar_cnn", config, 1, FitDevice.CPU, head=PatternHead(CLASSES, 64))
    pictures = shown(few)
    session = open_session(net.fit(pictures, few.target, np.ones(64), PATTERNS.names).to_onnx())
    times = []
    for _ in range(LATENCY_RUNS):
        begin = time.process_time()
        session.run(None, {FEATURES: pictures[:1]})
        times.append(1e3 * (time.process_time() - begin))
    return float(np.median(times)), float(np.quantile(times, 0.95))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--channels", default="16,32,64")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", type=FitDevice, default=FitDevice.AUTO)
    options = parser.parse_args()
    channels = tuple(int(one) for one in options.channels.split(","))
    config = PatternRecipe.model_validate({"bar_cnn": {"channels": channels, "epochs": options.epochs, "batch_rows": 64}})
    head, begin = PatternHead(CLASSES, config.of("bar_cnn").embedding), time.process_time()  # type: ignore[attr-defined]
    taught, fitted_on, judged_on = (
        windows(options.seed + i, n, mix)
        for i, n, mix in zip((0, 100, 200), (options.images, 2000, 4000), (TAUGHT, TAUGHT, MIX), strict=True)
    )
    learner = PatternLearner(learner_named("bar_cnn", config, options.seed, options.device, head=head))
    model = learner.fit(shown(taught), taught.target, np.ones(options.images), PATTERNS.names)
    width = len(CLASSES)
    known = fit_map(outputs_of(model, shown(fitted_on), np.arange(2000))[:, :width], fitted_on.number, np.array(MIX))
    later = shown(judged_on)
    found = pattern_figures(head, known, outputs_of(model, later, np.arange(4000)), judged_on.target, np.ones(4000))
    parity = export(model, later[:500]).parity.max_difference
    for what, figure in lines(found):
        print(f"{what:40} {figure}")
    middle, slow = latency(REFERENCE)
    passed = found.macro_f1 >= LEAST_F1 and found.ece <= MOST_ECE and middle <= MOST_MS
    print(
        f"{options.images} pictures, channels {channels}, {options.epochs} epochs: macro-F1 {found.macro_f1:.3f} (at least {LEAST_F1}), "
        f"calibration error {found.ece:.4f} (at most {MOST_ECE}); export differs by {parity:.1e}; reference net {REFERENCE}: "
        f"{middle:.2f} ms a row at the median, {slow:.2f} at 95 % (at most {MOST_MS:g}); "
        f"{time.process_time() - begin:.0f} s of CPU: {'passed' if passed else 'FAILED'}"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
