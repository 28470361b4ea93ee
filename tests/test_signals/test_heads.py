"""Heads: what a model's outputs mean and the number of them that ranks, by hand-worked figures."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from signals.bundle.manifest import HeadLine
from signals.errors import InvariantBroken
from signals.models.heads import (
    HEADS,
    ClassesHead,
    Head,
    MeanScaleHead,
    PatternHead,
    QuantilesHead,
    ScoreHead,
    StudentTHead,
    VectorHead,
    parts_of,
)

ALL = (ScoreHead(), ClassesHead(("down", "flat", "up")), QuantilesHead((0.1, 0.5, 0.9)), MeanScaleHead(), StudentTHead())


def test_a_score_is_its_own_rank_to_the_bit():
    outputs = np.array([[0.1], [-3.5], [2.0]], dtype=np.float32)
    assert ScoreHead().reduce(outputs).tolist() == outputs[:, 0].astype(np.float64).tolist()


def test_three_classes_rank_by_up_minus_down():
    outputs = np.log([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    np.testing.assert_allclose(ClassesHead(("down", "flat", "up")).reduce(outputs), [0.3, -0.5], atol=1e-12)


def test_two_classes_rank_by_up_minus_down():
    np.testing.assert_allclose(ClassesHead(("down", "up")).reduce(np.log([[0.25, 0.75]])), [0.5], atol=1e-12)


def test_classes_with_values_rank_by_what_is_expected():
    """0.2 x -2 % + 0.3 x 0.1 % + 0.5 x 1 % = 0.13 %."""
    head = ClassesHead(("down", "flat", "up"), (-0.02, 0.001, 0.01))
    np.testing.assert_allclose(head.reduce(np.log([[0.2, 0.3, 0.5]])), [0.0013], atol=1e-12)


def test_probabilities_sum_to_one_and_do_not_overflow():
    probabilities = ClassesHead(("down", "flat", "up")).probabilities(np.array([[1000.0, 0.0, -1000.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(probabilities, [[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


@pytest.mark.parametrize(
    ("levels", "outputs", "median"),
    [
        ((0.1, 0.5, 0.9), [-1.0, 0.25, 1.0], 0.25),
        ((0.1, 0.9), [-1.0, 2.0], 0.5),
        ((0.4, 0.8), [1.0, 2.0], 1.25),
        ((0.7,), [3.0], 3.0),
        ((0.1, 0.2), [3.0, 4.0], 4.0),
        ((0.6, 0.9), [3.0, 4.0], 3.0),
    ],
)
def test_quantiles_rank_by_the_median_or_what_is_nearest_to_it(levels, outputs, median):
    assert QuantilesHead(levels).reduce(np.array([outputs])).tolist() == pytest.approx([median])


def test_a_mean_and_scale_rank_by_the_mean():
    assert MeanScaleHead().reduce(np.array([[0.5, 2.0], [-1.0, 9.0]])).tolist() == [0.5, -1.0]


def test_outputs_are_named_in_their_order():
    assert [head.names for head in ALL] == [
        ("score",),
        ("down", "flat", "up"),
        ("q10", "q50", "q90"),
        ("mean", "scale"),
        ("location", "scale", "df"),
    ]
    assert QuantilesHead((0.025, 0.975)).names == ("q2.5", "q97.5")
    assert [head.width for head in ALL] == [1, 3, 3, 2, 3]


def test_a_vector_ranks_nothing():
    with pytest.raises(InvariantBroken, match="a vector of 3 numbers ranks nothing"):
        VectorHead(3).reduce(np.zeros((2, 3)))
    assert (VectorHead(3).names, VectorHead(3).width) == (("v1", "v2", "v3"), 3)


def test_the_head_of_a_picture_is_its_parts_side_by_side_and_ranks_by_the_chance_of_any_shape():
    head = PatternHead(("none", "flag", "wick"), 2)
    assert (head.width, head.names) == (6, ("none", "flag", "wick", "pole", "v1", "v2"))
    assert list(parts_of(head)) == ["score", "pole", "embedding"] and sum(part.width for part in parts_of(head).values()) == 6
    assert head.reduce(np.log([[0.5, 0.3, 0.2, 9.0, 9.0, 9.0]])).tolist() == pytest.approx([0.5])
    assert parts_of(ScoreHead()) == {"score": ScoreHead()}
    with pytest.raises(ValidationError, match="listed one by one"):
        HeadLine(name="score", head=head)


@pytest.mark.parametrize("head", ALL, ids=lambda head: head.kind)
def test_outputs_of_another_width_are_refused(head):
    for shape in ((4, head.width + 1), (4,), (4, head.width, 1)):
        with pytest.raises(InvariantBroken, match="outputs of shape"):
            head.reduce(np.zeros(shape))
    assert head.reduce(np.zeros((4, head.width), dtype=np.float32)).dtype == np.float64
    assert head.reduce(np.zeros((0, head.width))).shape == (0,)


@pytest.mark.parametrize(
    "head", [*ALL, ClassesHead(("down", "up"), (-0.5, 0.25)), VectorHead(64), PatternHead(("none", "flag"), 3)], ids=lambda head: head.kind
)
def test_a_head_comes_back_from_its_document(head):
    adapter = TypeAdapter(Head)
    assert adapter.validate_json(adapter.dump_json(head)) == head
    assert HEADS[head.kind] is type(head)


@pytest.mark.parametrize(
    "document",
    [
        '{"kind": "classes", "names": ["up"]}',
        '{"kind": "classes", "names": ["up", "up"]}',
        '{"kind": "classes", "names": ["down", "up!"]}',
        '{"kind": "classes", "names": ["down", "up"], "values": [1.0]}',
        '{"kind": "classes", "names": ["down", "up"], "values": [1.0, 1.0]}',
        '{"kind": "classes", "names": ["down", "up"], "values": [1.0, 1e999]}',
        '{"kind": "quantiles", "levels": []}',
        '{"kind": "quantiles", "levels": [0.5, 0.1]}',
        '{"kind": "quantiles", "levels": [0.5, 0.5]}',
        '{"kind": "quantiles", "levels": [0.0, 0.5]}',
        '{"kind": "quantiles", "levels": [0.5, 1.0]}',
        '{"kind": "score", "width": 2}',
        '{"kind": "vector", "length": 0}',
        '{"kind": "vector", "length": 1025}',
        '{"kind": "vote"}',
    ],
)
def test_a_document_that_is_no_head_is_refused(document):
    with pytest.raises(ValidationError):
        TypeAdapter(Head).validate_json(document)
