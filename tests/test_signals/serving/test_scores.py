"""Posted rows and bars: read strictly, answered by one function whichever way they come, by the bundle that is in force."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from signals.bundle import verify
from signals.errors import BadBars, FixInput, NotASession
from signals.models.inference import infer
from signals.serving.outlook import FeatureRows, Predictor
from signals.serving.posted_rows import from_json, from_parquet, to_parquet
from signals.serving.scores import CurrentModel, ServedModel, answer_bytes, operations, score_file
from signals.text.strict_json import BadJson
from tests.fakes.bundles import SPEC, Recipe, keyset, policy, weekdays
from tests.fakes.serving import KEY, api, ask

NAMES = tuple(name for name, _, _ in SPEC)
DAY = date(2024, 2, 29)
JSON = {**KEY, "content-type": "application/json"}


class Folder:
    """The bundle of a folder, and how often it was loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.loads = folder, 0

    def identity(self) -> str:
        return (self.folder / "manifest.sig").read_text()

    def load(self) -> ServedModel:
        self.loads += 1
        return ServedModel(verify(self.folder, keyset(), policy(), reproduce=infer), weekdays())


@pytest.fixture
def source(tmp_path: Path) -> Folder:
    Recipe().write(tmp_path / "b")
    return Folder(tmp_path / "b")


def rows(count: int = 12) -> FeatureRows:
    values = np.random.default_rng(3).normal(size=(count, len(NAMES))).astype(np.float32)
    values[0, 0] = np.nan
    return FeatureRows(tuple(f"S{n:02}" for n in range(count)), (DAY,) * count, NAMES, values)


def posted(given: FeatureRows) -> bytes:
    return json.dumps(
        {
            "rows": [
                {"symbol": s, "asof": str(d), "features": {n: None if np.isnan(v) else float(v) for n, v in zip(NAMES, row, strict=True)}}
                for s, d, row in zip(given.symbols, given.asof, given.values, strict=True)
            ]
        }
    ).encode()


def stored(given: FeatureRows, path: Path) -> Path:
    columns = {"symbol": list(given.symbols), "asof": pa.array(given.asof, pa.date32())}
    columns |= {name: pa.array(given.values[:, n].astype(float), from_pandas=True) for n, name in enumerate(NAMES)}
    pq.write_table(pa.table(columns), path)
    return path


def test_three_ways_to_ask_give_equal_bytes(source: Folder, tmp_path: Path) -> None:
    """Directly, over HTTP through the limited child, and from Parquet to Parquet."""
    direct = answer_bytes(Predictor(source.load().bundle).predict(rows()))
    answer = ask(api(*operations(source)), "/v1/scores", method="POST", headers=JSON, body=posted(rows()))
    assert answer.status_code == 200 and answer.content == direct
    filed = score_file(source, stored(rows(), tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    assert filed.content == direct
    read = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert json.loads(json.dumps(read)) == json.loads(direct)["outlooks"] and len(read) == 12


def test_an_answer_never_replaces_what_was_asked(source: Folder, tmp_path: Path) -> None:
    path = stored(rows(), tmp_path / "rows.parquet")
    before = path.read_bytes()
    with pytest.raises(FixInput, match="would replace"):
        score_file(source, path, path)
    assert path.read_bytes() == before


def test_another_bundle_in_the_same_place_answers_the_next_request(source: Folder) -> None:
    model = CurrentModel(source)
    first = model.get().bundle.sha256
    assert model.get().bundle.sha256 == first and source.loads == 1
    Recipe(seq=2).write(source.folder)
    assert model.get().bundle.sha256 != first and source.loads == 2
    (source.folder / "model.onnx").write_bytes(b"spoilt")
    (source.folder / "manifest.sig").write_text("{}")
    for _ in range(2):  # refused, not remembered
        with pytest.raises(Exception, match=r"signed|signature|sig"):
            model.get()


def test_what_the_bundle_reads_is_described(source: Folder) -> None:
    found = ask(api(*operations(source)), "/v1/model").json()
    assert [line["name"] for line in found["features"]] == list(NAMES) and found["bundle"] == source.load().bundle.sha256


def bad(change: str) -> bytes:
    sound = json.loads(posted(rows(2)))
    row = sound["rows"][0]
    if change == "a feature is missing":
        del row["features"]["mom_5"]
    if change == "a feature is unknown":
        row["features"]["other"] = 1.0
    if change == "a truth is no number":
        row["features"]["mom_5"] = True
    if change == "a text is no number":
        row["features"]["mom_5"] = "1"
    if change == "too large":
        row["features"]["mom_5"] = 1e300
    if change == "twice":
        sound["rows"][1] = row
    if change == "a day that is none":
        row["asof"] = "2024-02-30"
    if change == "a symbol beyond ASCII":
        row["symbol"] = "ÄÖÜ"
    if change == "no row":
        sound["rows"] = []
    if change == "both":
        sound["bars"] = []
    return json.dumps([sound] if change == "a list" else sound).encode()


@pytest.mark.parametrize(
    "change",
    [
        "a feature is missing",
        "a feature is unknown",
        "a truth is no number",
        "a text is no number",
        "too large",
        "twice",
        "a day that is none",
        "a symbol beyond ASCII",
        "no row",
        "both",
        "a list",
    ],
)
def test_rows_that_are_wrong_are_refused(change: str) -> None:
    from_json(posted(rows(2)), NAMES, weekdays())
    with pytest.raises(FixInput):
        from_json(bad(change), NAMES, weekdays())


@pytest.mark.parametrize("body", [b"", b"{", b'{"rows": [NaN]}', b'{"rows": 1, "rows": 2}', b"\xff", b"[" * 10_000])
def test_a_body_that_is_no_json_is_said_to_be_none(source: Folder, body: bytes) -> None:
    with pytest.raises(BadJson):
        from_json(body, NAMES, weekdays())
    assert ask(api(*operations(source)), "/v1/scores", method="POST", headers=JSON, body=body).status_code == 400


BARS = [
    {"symbol": s, "session": d, "open": o, "high": 12.0, "low": 9.0, "close": c, "volume": 100.0}
    for s, d, o, c in [
        ("A", "2024-02-27", 10, 10),
        ("A", "2024-02-28", 11, 12),
        ("A", "2024-02-29", 10, 9),
        ("B", "2024-02-27", 10, 10),
        ("B", "2024-02-29", 11, 10),
    ]
]


def test_returns_of_posted_bars_are_those_of_their_closes_by_hand() -> None:
    """A: 12/10 - 1 = 20 %, 9/12 - 1 = -25 %; overnight 11/10 - 1 and 10/12 - 1. B has no bar between, so no return."""
    found = from_json(json.dumps({"bars": BARS}).encode(), NAMES, weekdays())
    assert not isinstance(found, FeatureRows) and found.symbols == ("A", "B")
    assert found.total_return[1:, 0] == pytest.approx([0.2, -0.25]) and found.overnight_return[1:, 0] == pytest.approx([0.1, -1 / 6])
    assert np.isnan(found.total_return[:, 1]).all() and found.eligible.tolist() == [[True, True], [True, False], [True, True]]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"session": "2024-03-02"}, NotASession),
        ({"low": 11.5}, BadBars),
        ({"low": -1.0}, BadBars),
        ({"close": 0.0, "low": 0.0}, BadBars),
        ({"session": "2024-02-28"}, BadBars),
        ({"volume": None}, FixInput),
    ],
)
def test_bars_that_are_none_are_refused(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        from_json(json.dumps({"bars": [{**BARS[0], **change}, *BARS[1:]]}).encode(), NAMES, weekdays())


def test_a_file_that_is_no_parquet_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"symbol,asof")
    with pytest.raises(FixInput, match="no Parquet"):
        from_parquet(tmp_path / "x", NAMES, weekdays())
    pq.write_table(pa.table({"symbol": ["A"], "asof": pa.array([DAY], pa.date32())}), tmp_path / "y")
    with pytest.raises(FixInput, match="'mom_5' is missing"):
        from_parquet(tmp_path / "y", NAMES, weekdays())


def test_what_is_not_known_is_null_in_the_file_too(source: Folder, tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(to_parquet([replace(Predictor(source.load().bundle).predict(rows(1))[0])]))
    assert pq.read_table(tmp_path / "o").to_pylist()[0]["expected_return"] is None


def test_few_bars_never_make_a_large_panel() -> None:
    """1,000 names of one bar each, on the first or the last of 260 sessions: 260,000 cells."""
    days = weekdays().days[:260]
    bar = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    bars = [{"symbol": f"S{n}", "session": str(days[-(n % 2)]), **bar} for n in range(1000)]
    with pytest.raises(BadBars, match="nearly empty"):
        from_json(json.dumps({"bars": bars}).encode(), NAMES, weekdays())
    assert from_json(json.dumps({"bars": bars[::2]}).encode(), NAMES, weekdays()).close.shape == (1, 500)


def test_a_week_is_no_day() -> None:
    given = json.loads(posted(rows(1)))
    given["rows"][0]["asof"] = "2024-W09-4"
    with pytest.raises(FixInput, match="no date"):
        from_json(json.dumps(given).encode(), NAMES, weekdays())


def test_a_row_that_comes_twice_is_found_among_many_at_once() -> None:
    """Each is compared with no more than a few others, whose numbers are the same."""
    compared = []

    class Symbol(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return str.__hash__(self)

        def __eq__(self, other: object) -> bool:
            compared.append(1)
            return str.__eq__(self, other)

    names = (*(Symbol(f"S{n}") for n in range(19_999)), Symbol("S19998"))
    with pytest.raises(FixInput, match=r"a row comes twice \(S19998"):
        FeatureRows(names, (DAY,) * 20_000, ("x",), np.zeros((20_000, 1), dtype=np.float32))
    assert 0 < len(compared) < 200_000
