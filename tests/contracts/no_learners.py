"""Fail unless this environment is a device's: nothing that learns may be importable in it."""

import importlib.util
import sys

LEARNERS = ("lightgbm", "catboost", "xgboost", "sklearn", "optuna", "mlflow", "onnx", "shap", "distributed", "torch")

found = [name for name in LEARNERS if importlib.util.find_spec(name) is not None]
if found:
    sys.exit(f"the device's environment holds {', '.join(found)}")
