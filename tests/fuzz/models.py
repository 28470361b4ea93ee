"""Mutate ONNX models and verify each as a device does: the static check, then scoring in a child with its limits.

Whatever becomes of the child, the parent must go on within the child's limits of time and memory. `spoilt` makes seeded
damage: to the bytes, to single fields of the protobuf message wherever they lie, and to the graph (see `HOSTILE`).

Run it with `make fuzz-models`, or `python -m tests.fuzz.models --cases 500`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnxruntime  # noqa: F401  # the children inherit the runtime; none of its sessions is opened here

from signals.bundle.child_inference import WALL_SECONDS, data_bytes, limit
from signals.bundle.graph import Wire, check_model, fields
from signals.errors import BundleRefused
from signals.models.inference import FEATURES, GraphMember, predict
from tests.fakes import onnx_models as onnx
from tests.fakes.bundles import golden_inputs

WIDTH = 3
INPUTS = {FEATURES: golden_inputs(WIDTH)}
STATIC_SECONDS = 2.0
CODE_MEGABYTES = 160  # the programs and libraries of the child; its data are limited, these are not
HUGE = (0, 1, 2, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
Field = tuple[int, int, "int | bytes | list[Field]"]


# -- whole models ----------------------------------------------------------------------------------------------------


def tensor(name: str, dims: list[int], raw: bytes, element: int = 1) -> bytes:
    """An initializer."""
    shape = b"".join(onnx.number(1, dim) for dim in dims)
    return onnx.block(5, shape + onnx.number(2, element) + onnx.block(8, name) + onnx.block(9, raw))


def perceptron() -> bytes:
    """Two layers with weights of their own."""
    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=shape).astype("<f4").tobytes() for shape in ((WIDTH, 8), (8, 1)))
    nodes = [onnx.node("MatMul", ["features", "w1"], ["h"]), onnx.node("Relu", ["h"], ["r"]), onnx.node("MatMul", ["r", "w2"], ["score"])]
    return onnx.model(nodes, WIDTH, extra_graph=tensor("w1", [WIDTH, 8], first) + tensor("w2", [8, 1], second))


def shaped() -> bytes:
    """Reshapes, slices, gathers and reductions, driven by integer initializers."""

    def whole(name: str, *values: int) -> bytes:
        return tensor(name, [len(values)], np.array(values, dtype="<i8").tobytes(), element=7)

    nodes = [
        onnx.node("Gather", ["features", "order"], ["g"], attributes=onnx.int_attribute("axis", 1)),
        onnx.node("Slice", ["g", "starts", "ends", "axes"], ["s"]),
        onnx.node("Reshape", ["s", "shape"], ["flat"]),
        onnx.node("ReduceMean", ["flat"], ["score"], attributes=onnx.ints_attribute("axes", [1])),
    ]
    extra = whole("order", 2, 0, 1) + whole("starts", 0) + whole("ends", 2) + whole("axes", 1) + whole("shape", -1, 2)
    return onnx.model(nodes, WIDTH, extra_graph=extra)


WHOLE: tuple[bytes, ...] = (onnx.stump_model(WIDTH), perceptron(), shaped(), onnx.nan_model(WIDTH))


# -- hostile graphs --------------------------------------------------------------------------------------------------


def doubled(times: int) -> bytes:
    """Each node is twice as wide as the one before: a small file that asks for 2^times columns."""
    axis = onnx.int_attribute("axis", 1)
    names = ["features", *(f"x{i}" for i in range(times))]
    nodes = [onnx.node("Concat", [a, a], [b], attributes=axis) for a, b in pairwise(names)]
    last = onnx.node("ReduceMean", [names[-1]], ["score"], attributes=onnx.ints_attribute("axes", [1]))
    return onnx.model([*nodes, last], WIDTH)


def stump(**changes: list[int] | int) -> bytes:
    """A tree ensemble of which some lists are replaced: loops, targets and features that are not there."""
    lists: dict[str, list[int]] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
    }
    targets = changes.pop("n_targets", 1)
    modes = changes.pop("branches", [1, 0, 0])
    assert isinstance(targets, int) and isinstance(modes, list)
    for name, values in changes.items():
        assert isinstance(values, list)
        lists[name] = values
    count = len(lists["nodes_nodeids"])
    attributes = onnx.int_attribute("n_targets", targets)
    attributes += b"".join(onnx.ints_attribute(name, values) for name, values in lists.items())
    attributes += onnx.floats_attribute("nodes_values", [0.0] * count)
    attributes += onnx.strings_attribute("nodes_modes", ["BRANCH_LEQ" if branch else "LEAF" for branch in modes])
    attributes += onnx.floats_attribute("target_weights", [1.0] * len(lists["target_ids"]))
    node = onnx.node("TreeEnsembleRegressor", ["features"], ["score"], "ai.onnx.ml", attributes)
    return onnx.model([node], WIDTH)


def operator(name: str, domain: str = "", attributes: bytes = b"") -> bytes:
    opsets = (("", 13), ("ai.onnx.ml", 3)) + (((domain, 1),) if domain not in ("", "ai.onnx.ml") else ())
    return onnx.model([onnx.node(name, ["features"], ["score"], domain, attributes)], WIDTH, opsets=opsets)


def outside() -> bytes:
    """An initializer that lies in another file."""
    body = onnx.number(1, 3) + onnx.number(2, 1) + onnx.block(8, "w")
    body += onnx.block(13, onnx.block(1, "location") + onnx.block(2, "/etc/passwd")) + onnx.number(14, 1)
    return onnx.model([onnx.node("Add", ["features", "w"], ["score"])], WIDTH, extra_graph=onnx.block(5, body))


def looped() -> bytes:
    """A loop whose body is a graph of its own."""
    body = onnx.block(6, onnx.block(2, "body")) + onnx.number(20, onnx.GRAPH)
    return operator("Loop", attributes=onnx.block(5, onnx.block(1, "body") + body))


def huge(dims: list[int]) -> bytes:
    """An initializer that claims a shape which its bytes do not fill."""
    return onnx.model([onnx.node("Add", ["features", "w"], ["score"])], WIDTH, extra_graph=tensor("w", dims, b"\x00" * 12))


def reshaped(*values: int) -> bytes:
    shape = tensor("shape", [len(values)], np.array(values, dtype="<i8").tobytes(), element=7)
    return onnx.model([onnx.node("Reshape", ["features", "shape"], ["score"])], WIDTH, extra_graph=shape)


def circular() -> bytes:
    return onnx.model(
        [onnx.node("Add", ["features", "b"], ["a"]), onnx.node("Relu", ["a"], ["b"]), onnx.node("Identity", ["b"], ["score"])], WIDTH
    )


HOSTILE: dict[str, Callable[[], bytes]] = {
    "widths that double forty times": lambda: doubled(40),
    "widths that double eighteen times": lambda: doubled(18),
    "a tree whose branch leads to itself": lambda: stump(nodes_truenodeids=[0, 0, 0], nodes_falsenodeids=[0, 0, 0]),
    "a tree whose leaves lead back": lambda: stump(branches=[1, 1, 1], nodes_truenodeids=[1, 2, 0], nodes_falsenodeids=[2, 0, 1]),
    "a tree that leads nowhere": lambda: stump(nodes_truenodeids=[7, 0, 0]),
    "a node twice": lambda: stump(nodes_nodeids=[0, 1, 1]),
    "a billion targets": lambda: stump(n_targets=2**30),
    "targets below zero": lambda: stump(n_targets=-1 & (2**64 - 1)),
    "a target that is not there": lambda: stump(target_ids=[0, 2**30]),
    "a feature that is not there": lambda: stump(nodes_featureids=[2**30, 0, 0]),
    "lists of different lengths": lambda: stump(target_nodeids=[1]),
    "a shape of 2^60 cells": lambda: huge([2**20, 2**20, 2**20]),
    "a shape below zero": lambda: huge([2**64 - 1, 3]),
    "a reshape to 2^40 rows": lambda: reshaped(2**40, 1),
    "a reshape to nothing": lambda: reshaped(0, -1),
    "a circle of nodes": circular,
    "a loop": looped,
    "weights in another file": outside,
    "an operator of a stranger": lambda: operator("Steal", "com.example"),
    "an operator of the runtime's own": lambda: operator("Rfft", "com.microsoft"),
    "an unknown operator": lambda: operator("Summon"),
    "random numbers": lambda: operator("RandomNormalLike"),
    "thirteen layers of one file": lambda: onnx.model([onnx.block(1, b"\x0a" * 4000)], WIDTH),
}


# -- damage ----------------------------------------------------------------------------------------------------------


def spoilt(chance: random.Random) -> bytes:
    """One mutated model: bytes, fields, or fields of a hostile graph."""
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(list(HOSTILE.values()))()
    whole = chance.choice(WHOLE) if kind < 0.85 else chance.choice(list(HOSTILE.values()))()
    if kind < 0.35:
        return torn(whole, chance)
    message = dissected(whole, 0)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        twist(message, chance)
    return encoded(message)


def torn(whole: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat or insert bytes."""
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at, kind = chance.randrange(len(content) or 1), chance.randrange(5)
        if kind == 0 and content:
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            del content[at : at + chance.randrange(1, 20)]
        elif kind == 3:
            content[at:at] = content[at : at + chance.randrange(1, 200)]
        else:
            content[at:at] = chance.randbytes(chance.randrange(1, 12))
    return bytes(content)


def dissected(content: bytes, depth: int) -> list[Field]:
    """The message as nested fields; what is no message stays bytes."""
    found: list[Field] = []
    for field in fields(content, "model"):
        value: int | bytes | list[Field] = field.integer if field.wire is Wire.VARINT else field.content
        if field.wire is Wire.BYTES and depth < 6 and len(field.content) > 2:
            try:
                value = dissected(field.content, depth + 1)
            except BundleRefused:
                value = field.content
        found.append((field.number, int(field.wire), value))
    return found


def encoded(message: list[Field]) -> bytes:
    """The bytes of nested fields."""
    out = b""
    for number, wire, value in message:
        tag = onnx.varint(number << 3 | wire)
        if isinstance(value, int):
            out += tag + onnx.varint(value)
        else:
            content = encoded(value) if isinstance(value, list) else value
            out += tag + (onnx.varint(len(content)) if wire == Wire.BYTES else b"") + content
    return out


def twist(message: list[Field], chance: random.Random) -> None:
    """Change, remove, repeat or move one field, at any depth."""
    if not message:
        return
    place = chance.randrange(len(message))
    number, wire, value = message[place]
    if isinstance(value, list) and value and chance.random() < 0.85:
        twist(value, chance)
        return
    kind = chance.random()
    if kind < 0.12:
        del message[place]
    elif kind < 0.24:
        message.insert(chance.randrange(len(message) + 1), message[place])
    elif kind < 0.30:
        message[place] = (chance.randrange(1, 30), wire, value)
    elif isinstance(value, int):
        message[place] = (number, wire, chance.choice((*HUGE, max(0, value - 1), value + 1)))
    elif isinstance(value, bytes) and value:
        changed = bytearray(value)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        message[place] = (number, wire, bytes(changed if wire != Wire.BYTES or kind < 0.8 else changed * 50))
    else:
        message[place] = (number, int(Wire.BYTES), b"")


# -- the attack ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fate:
    """How one model ended, in a word; the seconds of the static check and of the child, and the child's peak memory."""

    word: str
    static: float
    seconds: float = 0.0
    megabytes: int = 0


def fate(model: bytes) -> Fate:
    """Verify one model: refused by the static check, or scored in a child with the limits of `signals.bundle.child_inference`."""
    started = time.perf_counter()
    try:
        check_model(model, "model.onnx")
    except BundleRefused:
        return Fate("refused", time.perf_counter() - started)
    static = time.perf_counter() - started
    seconds, status, usage = _in_a_child(model)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    word = f"killed by {signal.Signals(killed).name}" if killed else ("scored", "failed")[min(os.WEXITSTATUS(status), 1)]
    return Fate(word, static, seconds, usage.ru_maxrss // 1024)


def _in_a_child(model: bytes) -> tuple[float, int, resource.struct_rusage]:
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for stream in (1, 2):  # whatever the runtime prints, the parent's answer stays one document
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            limit(data_bytes([GraphMember(model)], INPUTS))
            predict([model], INPUTS[FEATURES])
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
            code = 1
        finally:
            os._exit(code)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    _, status, usage = os.wait4(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return time.perf_counter() - started, status, usage


def attack(models: list[tuple[str, bytes]]) -> tuple[Counter[str], list[str], dict[str, float]]:
    """Count the fates, describe what broke a limit, and give the largest figures seen."""
    seen, wrong = Counter[str](), list[str]()
    most = {"static_seconds": 0.0, "child_seconds": 0.0, "child_megabytes": 0.0}
    for name, model in models:
        found = fate(model)
        seen[found.word] += 1
        allowed = data_bytes([GraphMember(model)], INPUTS) / 2**20 + CODE_MEGABYTES
        if found.static > STATIC_SECONDS or found.seconds > WALL_SECONDS + 1 or found.megabytes > allowed:
            wrong.append(f"{name}: {found}: {model[:200]!r}")
        figures = (found.static, found.seconds, float(found.megabytes))
        most = {key: max(value, figure) for (key, value), figure in zip(most.items(), figures, strict=True)}
    return seen, wrong, most


def main() -> int:
    """Print one JSON document and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    chance = random.Random(asked.seed)
    models = [(name, build()) for name, build in HOSTILE.items()]
    models += [(f"case {number}", spoilt(chance)) for number in range(asked.cases)]
    controls = Counter(fate(model).word for model in WHOLE)
    seen, wrong, most = attack(models)
    print(json.dumps({"cases": len(models), "whole": controls, "fates": seen, "most": most, "wrong": wrong[:5]}))
    return int(bool(wrong) or controls != {"scored": len(WHOLE)})


if __name__ == "__main__":
    sys.exit(main())
