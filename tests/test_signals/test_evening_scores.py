"""Delivered scores: what is signed is what is read back, to the bit, and everything else is refused by name."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from signals.bundle.seal import MANIFEST_KIND, canonical_json, sign
from signals.errors import ScoresRefused, TrademlError
from signals.files import sha256_of
from signals.scoring.evening_scores import (
    MAX_SCORES_BYTES,
    SCORES_KIND,
    EveningScores,
    ExpectedScores,
    NewestDocument,
    open_scores,
    require_match,
    require_news,
    scores_name,
    seal_scores,
)
from tests.fakes.bundles import FIRST, SECOND, STRANGER, keyset, signing_key

TODAY = date(2024, 3, 11)
PAYLOAD = EveningScores(
    asof=TODAY,
    sleeve="equities_xs",
    revision=1,
    created=datetime(2024, 3, 11, 22, tzinfo=UTC),
    calendar="XNYS",
    spec_hash="1" * 64,
    snapshot_id="2" * 64,
    bundle_sha256="3" * 64,
    bundle_seq=4,
    keyset_version=1,
    symbols=("AAA", "BBB", "CCC"),
    scores=(0.1, -1 / 3, 2.5e-308),
)
WANTED = ExpectedScores(TODAY, "equities_xs", "XNYS", "1" * 64, "2" * 64, "3" * 64)


def sealed(payload: EveningScores = PAYLOAD, *keys: Ed25519PrivateKey, kind: str = SCORES_KIND) -> bytes:
    return seal_scores(payload, sign(kind, payload.to_bytes(), keys or (FIRST,)))


def signed_text(text: str) -> bytes:
    """A document whose payload is any text, well signed."""
    rows = json.loads(sign(SCORES_KIND, text.encode(), (FIRST,)))["signatures"]
    return canonical_json({"payload": text, "signatures": rows})


def test_scores_come_back_to_the_bit_as_the_device_would_have_computed_them() -> None:
    found = open_scores(sealed(), keyset(), TODAY, "here").scored()
    assert (found.asof, found.sleeve, found.symbols, found.source) == (TODAY, "equities_xs", PAYLOAD.symbols, "3" * 64)
    assert found.values.tobytes() == np.array([0.1, -1 / 3, 2.5e-308]).tobytes()
    assert scores_name("equities_xs", TODAY) == "scores/equities_2024-03-11.json"
    assert scores_name("risk", TODAY) == "scores/risk_2024-03-11.json"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_finite_float_survives_the_document(values: list[float]) -> None:
    symbols = tuple(f"S{i:03d}" for i in range(len(values)))
    payload = PAYLOAD.model_copy(update={"symbols": symbols, "scores": tuple(values)})
    found = open_scores(sealed(payload), keyset(), TODAY, "here")
    assert np.array(found.scores).tobytes() == np.array(values).tobytes()


def changed(**fields: Any) -> str:
    return canonical_json({**PAYLOAD.model_dump(mode="json"), **fields}).decode()


ATTACKS: dict[str, tuple[bytes, Any, str]] = {
    "unsigned": (canonical_json({"payload": PAYLOAD.to_bytes().decode(), "signatures": []}), keyset(), "unsigned"),
    "a stranger's key": (sealed(PAYLOAD, STRANGER), keyset(), "signed by 0 trusted keys"),
    "one of two signers": (sealed(), keyset(signing_key(FIRST), signing_key(SECOND), threshold=2), "1 trusted keys, 2"),
    "a revoked key": (sealed(), keyset(signing_key(FIRST, revoked=True)), "revoked or expired"),
    "a key past its day": (sealed(), keyset(signing_key(FIRST, until=date(2024, 3, 10))), "revoked or expired"),
    "a key set past its day": (sealed(), keyset(until=date(2024, 3, 10)), "the key set expired"),
    "signed as a bundle's manifest": (sealed(kind=MANIFEST_KIND), keyset(), "signature of key .* is wrong"),
    "a newer key set": (sealed(PAYLOAD.model_copy(update={"keyset_version": 2})), keyset(), "under key set 2"),
    "another payload": (sealed().replace(b"0.1,", b"0.9,"), keyset(), "signature of key .* is wrong"),
    "too large": (b" " * (MAX_SCORES_BYTES + 1), keyset(), "bytes, more than"),
    "no document": (b"\xff\xfe", keyset(), "not a JSON document"),
    "nested without end": (b"[" * 100_000, keyset(), "not a JSON document"),
    "no payload": (canonical_json({"signatures": []}), keyset(), "has a payload and signatures"),
    "a payload that is no text": (canonical_json({"payload": 1, "signatures": []}), keyset(), "payload is a string"),
    "an unknown key": (signed_text(changed(surprise=1)), keyset(), "surprise"),
    "another format": (signed_text(changed(format="trademl-scores/2")), keyset(), "format"),
    "a score too many": (signed_text(changed(scores=[1.0] * 4)), keyset(), "3 symbols but 4 scores"),
    "a name twice": (signed_text(changed(symbols=["AAA", "AAA", "BBB"])), keyset(), "sorted and distinct"),
    "unsorted names": (signed_text(changed(symbols=["BBB", "AAA", "CCC"])), keyset(), "sorted and distinct"),
    "no names": (signed_text(changed(symbols=[], scores=[])), keyset(), "symbols"),
    "a score that is text": (signed_text(changed(scores=["0.1", 0.2, 0.3])), keyset(), "scores"),
    "NaN": (signed_text(changed().replace("0.1,", "NaN,")), keyset(), "NaN is not JSON"),
    "an infinite score": (signed_text(changed().replace("0.1,", "1e999,")), keyset(), "too large"),
    "the same key twice": (signed_text(changed().replace("{", '{"asof":"2024-03-12",', 1)), keyset(), "occurs twice"),
    "revision zero": (signed_text(changed(revision=0)), keyset(), "revision"),
    "a hash that is none": (signed_text(changed(bundle_sha256="x")), keyset(), "bundle_sha256"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_document_that_is_not_what_enough_keys_signed_is_refused(attack: str) -> None:
    content, keys, reason = ATTACKS[attack]
    with pytest.raises(ScoresRefused, match=reason):
        open_scores(content, keys, TODAY, "here")


@given(st.integers(0, len(sealed()) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(place: int, change: int) -> None:
    """It is refused, or it says exactly what was signed (a space in the envelope is no part of it)."""
    content = bytearray(sealed())
    content[place] ^= change
    try:
        assert open_scores(bytes(content), keyset(), TODAY, "here") == PAYLOAD
    except TrademlError as error:
        assert isinstance(error, ScoresRefused)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"asof": date(2024, 3, 8)}, "scores of 2024-03-08, older than 2024-03-11"),
        ({"asof": date(2024, 3, 12)}, "scores of 2024-03-12, later than 2024-03-11"),
        ({"sleeve": "risk"}, "their sleeve is risk"),
        ({"calendar": "XLON"}, "their calendar is XLON"),
        ({"spec_hash": "9" * 64}, "their spec_hash is 9"),
        ({"snapshot_id": "9" * 64}, "their snapshot_id is 9"),
        ({"bundle_sha256": "9" * 64}, "their bundle_sha256 is 9"),
    ],
)
def test_well_signed_scores_of_something_else_are_refused(changes: dict[str, Any], reason: str) -> None:
    require_match(PAYLOAD, WANTED, "here")
    with pytest.raises(ScoresRefused, match=reason):
        require_match(PAYLOAD.model_copy(update=changes), WANTED, "here")


def test_nothing_older_than_what_was_accepted_is_accepted_again() -> None:
    digest = sha256_of(sealed())
    second = PAYLOAD.model_copy(update={"revision": 2})
    for seen in (None, NewestDocument(date(2024, 3, 8), 7, "x"), NewestDocument(TODAY, 1, digest)):
        require_news(PAYLOAD, digest, seen, "here")
    require_news(second, "y", NewestDocument(TODAY, 1, digest), "here")
    with pytest.raises(ScoresRefused, match="scores of 2024-03-11 after those of 2024-03-12"):
        require_news(PAYLOAD, digest, NewestDocument(date(2024, 3, 12), 1, "x"), "here")
    with pytest.raises(ScoresRefused, match="revision 1 after revision 2"):
        require_news(PAYLOAD, digest, NewestDocument(TODAY, 2, "y"), "here")
    with pytest.raises(ScoresRefused, match="another document of revision 1"):
        require_news(PAYLOAD, digest, NewestDocument(TODAY, 1, "y"), "here")
