"""`trainer backtest` as a person types it: its files, what it refuses, and its equality with `appliance replay`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from signals.errors import BundleRefused, FixInput, NotASession
from tests.fakes.device import Workbench
from tests.fakes.run import run_folder
from tests.fakes.store import Published
from tests.flow.test_slots import publish_risk

pytest.importorskip("lightgbm", reason="the trainer is not part of a device")
from trainer.commands import backtest as command
from trainer.promotion import history
from trainer.runs.looks import LOOKS

Make = Callable[..., Workbench]
SESSIONS = 8


@dataclass(frozen=True)
class Bench:
    """A run and its dataset."""

    run: Path
    data: Path
    free: date

    def __call__(self, to: Path, first: date, last: date, *more: str, of: tuple[str, ...] = ()) -> Mapping[str, Any]:
        import typer

        app = typer.Typer()
        command.register(app)
        of = of or ("--run", str(self.run))
        words = [*of, "--data", str(self.data), "--start", str(first), "--end", str(last)]
        defaults = ["--equity", "100000", "--fixed-ic", "0.05", "--json"]
        done = CliRunner().invoke(app, [*words, "--to", str(to), *defaults, *more])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def bench(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    data = published.root / "data"
    free = published.manifest.calendar.previous(published.sessions(1)[0])
    return Bench(run_folder(tmp_path_factory.mktemp("run") / "a", data, free), data, free)


@pytest.fixture(scope="module")
def written(bench: Bench, published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("backtest") / "a"
    days = published.sessions(SESSIONS)
    bench(to, days[0], days[-1])
    return to


@pytest.mark.slow
def test_the_files_hold_the_orders_fills_and_values_of_a_replay(written: Path, make: Make, published: Published) -> None:
    """Order for order, fill for fill, value for value, on sessions that the published model scored."""
    like = make(published, "like")
    days = published.sessions(SESSIONS)
    replayed = Workbench(like.state.parent / "replayed")
    done = replayed("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    ours = [
        (r["client_order_id"], r["symbol"], r["side"], r["quantity"], r["tif"], r["state"])
        for r in pq.read_table(written / "orders.parquet").to_pylist()
    ]
    query = "SELECT client_order_id, symbol, side, quantity, tif, state FROM intents"
    assert len(ours) > 100
    assert sorted(ours) == sorted((*row[:3], Decimal(row[3]), *row[4:]) for row in replayed.rows(query))
    fills = [(r["symbol"], r["side"], r["quantity"], r["price"]) for r in _rows(written, "fills")]
    booked = replayed.rows("SELECT symbol, side, quantity, price FROM fills")
    assert sorted(fills) == sorted((symbol, side, Decimal(q), Decimal(p)) for symbol, side, q, p in booked)
    values = [(str(r["session"]), r["paper_equity"], r["net_equity"]) for r in _rows(written, "nav")]
    nav = replayed.rows("SELECT session, paper_nav, real_nav, restatement FROM nav ORDER BY session")
    assert values == [(day, Decimal(paper), Decimal(real) + Decimal(more)) for day, paper, real, more in nav]


def test_the_same_call_writes_the_same_bytes(bench: Bench, written: Path, published: Published, tmp_path: Path) -> None:
    days = published.sessions(SESSIONS)
    bench(tmp_path / "again", days[0], days[-1])
    names = sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file())
    assert {"orders.parquet", "fills.parquet", "nav.parquet", "backtest.json", "report.md", "report.html"} < {*names}
    assert sum(name.startswith("plots/") for name in names) == 5
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes(), name


def test_each_cost_is_taken_off_once(written: Path) -> None:
    """From gross to net in steps that are the running sums of the cost columns; an auction's fills pay slippage."""
    rows = _rows(written, "nav")
    steps = {
        "gross_equity": ("dividends",),
        "after_auction_slippage": ("auction_slippage",),
        "after_spread": ("spread",),
        "after_impact": ("impact",),
        "after_fees": ("sec_fee", "taf_fee"),
        "net_equity": ("borrow",),
    }
    running = dict.fromkeys(steps, Decimal(0))
    for row in rows:
        level = row["paper_equity"]
        for name, parts in steps.items():
            running[name] += sum(row[part] for part in parts)
            level += running[name]
            assert row[name] == level, (row["session"], name)
    assert running["after_auction_slippage"] < 0 and running["after_impact"] < 0 and running["net_equity"] < 0
    fees = sum(fill["sec_fee"] + fill["taf_fee"] for fill in _rows(written, "fills"))
    assert fees == running["after_fees"] < 0


def test_the_report_says_who_scored_which_session(bench: Bench, published: Published, tmp_path: Path) -> None:
    """Walk-forward inside the training, the published model after it; what neither scored is left out, and said."""
    calendar = published.manifest.calendar
    inside = calendar.offset(bench.free, -25)
    found = bench(tmp_path / "inside", inside, calendar.offset(bench.free, -10))
    assert [row["origin"] for row in found["scores"]] == ["walk-forward"]
    assert found["scores"][0]["last"] == str(calendar.offset(bench.free, -15)) and found["left_out"] == 5
    report = (tmp_path / "inside" / "report.md").read_text()
    assert "Scored by: walk-forward" in report and "5 sessions of the range asked for have no unseen scores" in report
    after = bench(tmp_path / "after", bench.free, calendar.offset(bench.free, 3))
    assert [row["origin"] for row in after["scores"]] == ["published model"]
    assert set(after["certainty"]) == {"psr", "dsr", "trials"} and after["certainty"]["trials"] == 12
    known = [one for one in history.read(bench.data / LOOKS).records if one["command"] == "backtest"]
    shown = {(one["first"], one["last"]) for one in known if one["sleeve"] == after["provenance"]["sleeve"]}
    assert (after["scores"][0]["first"], after["scores"][0]["last"]) in shown, "what was shown is written down"


def test_a_range_that_the_model_learned_from_is_refused(bench: Bench, published: Published, tmp_path: Path) -> None:
    """Inside the sealed sessions nothing is traded, and no book is held across them."""
    offset = published.manifest.calendar.offset
    with pytest.raises(NotASession, match="has scores that its model had not seen"):
        bench(tmp_path / "x", offset(bench.free, -9), offset(bench.free, -2))
    with pytest.raises(NotASession, match="15 sessions have no unseen scores"):
        bench(tmp_path / "x", offset(bench.free, -20), offset(bench.free, 3))
    assert not (tmp_path / "x").exists()


def test_bad_input_is_told_once_and_nothing_is_written(bench: Bench, published: Published, tmp_path: Path) -> None:
    days = published.sessions(2)
    with pytest.raises(FixInput, match="the dataset holds no NOSUCH"):
        bench(tmp_path / "x", days[0], days[1], "--benchmark", "NOSUCH")
    with pytest.raises(FixInput, match="is after"):
        bench(tmp_path / "x", days[1], days[0])
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "portfolio.yml").write_text("{}\n")
    (tmp_path / "configs" / "execution.yml").write_text("entry: {kind: cls}\n")
    with pytest.raises(FixInput, match="enters at the open, not by cls"):
        bench(tmp_path / "x", days[0], days[1], "--config", str(tmp_path / "configs"))
    assert not (tmp_path / "x").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(FixInput, match="the folder exists"):
        bench(tmp_path / "there", days[0], days[1])


def test_the_benchmark_may_be_a_symbol(bench: Bench, published: Published, tmp_path: Path) -> None:
    """Its line compounds the symbol's total returns from the account's start."""
    from trainer.backtest.archive import open_archive

    days = published.sessions(3)
    archive = open_archive(bench.data)
    symbol = next(s for s in archive.whole.symbols if archive.whole.eligible[-1, archive.whole.symbols.index(s)])
    found = bench(tmp_path / "x", days[0], days[-1], "--benchmark", symbol)
    assert found["benchmark"]["name"] == symbol
    level = 100_000.0
    for row in _rows(tmp_path / "x", "nav"):
        at = archive.whole.index(row["session"])
        level *= 1.0 + float(archive.whole.total_return[at, archive.whole.symbols.index(symbol)])
        assert row["benchmark"] == pytest.approx(level, rel=1e-12)


@pytest.mark.slow
def test_the_benchmark_may_be_an_index_from_a_file(bench: Bench, published: Published, tmp_path: Path) -> None:
    """A line that doubles the universe's every move: its figures, its picture, and how the book moves with it."""
    from trainer.backtest.archive import open_archive

    days = published.sessions(4)
    archive = open_archive(bench.data)
    at = [archive.whole.index(day) for day in days]
    level = [100.0]
    for row in at:
        level.append(level[-1] * (1.0 + 2.0 * float(archive.index[row])))
    sessions = [archive.manifest.calendar.previous(days[0]), *days]
    lines = [f"{day},{close!r}" for day, close in zip(sessions, level, strict=True)]
    csv, parquet = tmp_path / "double.csv", tmp_path / "double.parquet"
    csv.write_text("\n".join(["Session,Close", *lines]))
    pq.write_table(pa.table({"session": sessions, "close": level}), parquet)
    found = bench(tmp_path / "x", days[0], days[-1], "--benchmark", str(csv))
    beside = found["benchmark"]
    assert beside["name"] == "double" and beside["total_return"] == pytest.approx(level[-1] / 100.0 - 1.0)
    assert [r["benchmark"] for r in _rows(tmp_path / "x", "nav")] == pytest.approx([1e3 * v for v in level[1:]])
    half = bench(tmp_path / "y", days[0], days[-1])["benchmark"]
    assert beside["beta"] == pytest.approx(half["beta"] / 2.0)
    assert beside["correlation"] == pytest.approx(half["correlation"])
    assert "beta" in (tmp_path / "x" / "report.md").read_text()
    same = bench(tmp_path / "z", days[0], days[-1], "--benchmark", str(parquet))["benchmark"]
    assert same == beside
    csv.write_text("\n".join(["session,close", *lines[:2], *lines[3:]]))
    with pytest.raises(FixInput, match=f"no return for 2 sessions, the first is {days[1]}"):
        bench(tmp_path / "u", days[0], days[-1], "--benchmark", str(csv))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("session,close\n2024-01-02,1\n2024-01-02,2\n", "a session twice"),
        ("session,price\n2024-01-02,1\n", "close"),
        ("session,close\n2024-01-02,0\n", "no price"),
        ("session,close\nmonday,1\n", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_file_that_is_no_index_is_refused(bench: Bench, tmp_path: Path, content: str, told: str) -> None:
    from trainer.backtest.archive import benchmark_of, open_archive

    (tmp_path / "index.csv").write_text(content)
    with pytest.raises(FixInput, match=told):
        benchmark_of(open_archive(bench.data), str(tmp_path / "index.csv"))
    with pytest.raises(FixInput, match="cannot be read"):
        benchmark_of(open_archive(bench.data), str(tmp_path / "absent.csv"))


def test_a_bundle_trades_as_the_run_that_it_was_made_of(bench: Bench, published: Published, tmp_path: Path) -> None:
    """The same model, signed: the same orders and fills; the report names the bundle, its signers and its refusal."""
    days = published.sessions(4)[1:]  # on the first evening the bundle's last label has not ended
    found = bench(tmp_path / "x", days[0], days[-1], of=("--bundle", str(published.root)))
    bench(tmp_path / "run", days[0], days[-1])
    for name in ("orders", "fills"):
        assert _rows(tmp_path / "x", name) == _rows(tmp_path / "run", name) != []
    assert [row["origin"] for row in found["scores"]] == ["published model"]
    known = found["provenance"]["bundle"]
    assert known["role"] == "evaluation" and known["refusal"] and len(known["signers"]) == 1
    report = (tmp_path / "x" / "report.md").read_text()
    assert report.startswith("# Backtest of bundle 1-") and "IN-SAMPLE" not in report
    folder = next(path for path in published.bundles.iterdir() if path.is_dir())
    again = bench(tmp_path / "y", days[0], days[1], "--trust", str(published.trust), of=("--bundle", str(folder)))
    assert again["provenance"]["bundle"] == known


@pytest.mark.slow
def test_what_a_bundle_learned_from_is_traded_only_when_told_and_called_in_sample(
    bench: Bench, published: Published, tmp_path: Path
) -> None:
    """Before its last label ended there are no scores; asked for, they are called that, without certainty."""
    offset, store = published.manifest.calendar.offset, ("--bundle", str(published.root))
    free = offset(bench.free, 1)
    first, last = offset(free, -3), offset(free, 3)
    kept = bench(tmp_path / "kept", first, last, of=store)
    assert (kept["scores"][0]["first"], kept["left_out"]) == (str(offset(free, 1)), 4)
    told = bench(tmp_path / "told", first, last, "--in-sample", of=store)
    assert [(row["origin"][:9], row["sessions"]) for row in told["scores"]] == [("IN-SAMPLE", 4), ("published", 3)]
    assert told["warnings"][0].startswith("IN-SAMPLE: in 4 of 7 sessions") and told["certainty"]["psr"] is None
    assert (tmp_path / "told" / "report.md").read_text().startswith("# IN-SAMPLE: Backtest of bundle")
    assert "IN-SAMPLE" in _rows(tmp_path / "told", "nav")[0]["scores"]
    with pytest.raises(NotASession, match="has scores that its model had not seen"):
        bench(tmp_path / "x", first, free, of=store)


def test_only_a_bundle_that_a_device_would_accept_is_traded(bench: Bench, own_store: Published, tmp_path: Path) -> None:
    day, store = own_store.sessions(1)[0], own_store.root
    folder = next(path for path in (store / "equities_xs" / "evaluation").iterdir() if path.is_dir())
    with pytest.raises(FixInput, match="of a run or of a bundle"):
        bench(tmp_path / "x", day, day, "--bundle", str(store))
    with pytest.raises(FixInput, match="of a run or of a bundle"):
        bench(tmp_path / "x", day, day, "--in-sample")
    with pytest.raises(FixInput, match="no bundle is published here"):
        bench(tmp_path / "x", day, day, of=("--bundle", str(tmp_path)))
    stored = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(stored.replace(b'"sleeve":"equities_xs"', b'"sleeve":"risk"'))
    with pytest.raises(FixInput, match="nothing to trade"):
        bench(tmp_path / "x", day, day, of=("--bundle", str(store)))
    (folder / "manifest.json").write_bytes(stored)
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleRefused, match="model"):
        bench(tmp_path / "x", day, day, of=("--bundle", str(store)))
    (store / "root.pub").write_text("x")
    with pytest.raises(BundleRefused):
        bench(tmp_path / "x", day, day, of=("--bundle", str(folder)))
    assert not (tmp_path / "x").exists()


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return found


def test_a_risk_bundle_scales_the_book_from_the_evening_on_that_it_had_not_learned_from(
    bench: Bench, own_store: Published, tmp_path: Path
) -> None:
    """Named by --risk; figures, report and a warning say which bundle and from when, or that there is none."""
    name = publish_risk(own_store)
    days = own_store.sessions(4)
    found = bench(tmp_path / "a", days[0], days[-1], "--risk", str(own_store.root))
    free = own_store.manifest.calendar.offset(own_store.last_training, 6)
    assert found["provenance"]["risk"]["bundle"] == name and found["provenance"]["risk"]["from"] == str(free)
    assert any(f"Volatilities are forecast from the evening of {free} on" in said for said in found["warnings"])
    page = (tmp_path / "a" / "report.md").read_text()
    assert f"| Volatilities | forecast by risk bundle {name} from {free} on |" in page
    plain = bench(tmp_path / "b", days[0], days[-1])
    assert plain["provenance"]["risk"] is None
    assert "| Volatilities | of the window: no risk bundle |" in (tmp_path / "b" / "report.md").read_text()
    ours, theirs = (_rows(tmp_path / folder, "orders") for folder in ("a", "b"))
    before = [[(f["symbol"], f["quantity"]) for f in rows if f["session"] <= free] for rows in (ours, theirs)]
    assert before[0] == before[1] and ours != theirs


def test_a_store_without_a_risk_bundle_has_no_forecasts(bench: Bench, published: Published, tmp_path: Path) -> None:
    days = published.sessions(1)
    with pytest.raises(FixInput, match="no bundle is published here"):
        bench(tmp_path / "a", days[0], days[-1], "--risk", str(published.root))
