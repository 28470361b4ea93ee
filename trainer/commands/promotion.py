"""`trainer promote | shadow | rollback | history`: decides and records champions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signals.errors import FixInput
from signals.text.console import GOES_ON, Kept, emit, progress
from signals.text.documents import to_json
from trainer.clock import now
from trainer.commands import options
from trainer.commands.defaults import workspace_of

if TYPE_CHECKING:
    from trainer.backtest.subject import BookSettings
    from trainer.promotion.bars.config import PromotionVerdict
    from trainer.promotion.champions import Audit
    from trainer.promotion.measured import BarWaiver, Shadow, Word
    from trainer.runs.chain import Record

MEASURING_STEPS = 1

WAIVE_HELP = (
    "'BAR: REASON', why a bar that fails is accepted, for leak, universe, long embargo, or a champion that was measured "
    "otherwise and cannot be again; a reason alone is for the universe. May be given several times; needs --by."
)
WAIVABLE = ("leak", "universe", "long embargo", "champion")


def promote(
    data: options.Data = options.OURS,
    run: options.Run = options.OURS,
    registry: options.Registry = options.VAR,
    bars: options.Bars = None,
    portfolio: options.Portfolio = None,
    equity: options.Equity = 1_000_000.0,
    waive: Annotated[list[str] | None, typer.Option(help=WAIVE_HELP)] = None,
    replace_for: Annotated[str, typer.Option(help="Why a challenger that is not worse may replace the champion: age, cost or data.")] = "",
    word: Annotated[str, typer.Option(help="What speaks for --replace-for, in a sentence; is kept in the record.")] = "",
    by: Annotated[str, typer.Option(help="Name of the person who gives the reasons; is kept in the record.")] = "",
    tracking: options.Tracking = "",
    as_json: options.AsJson = False,
) -> None:
    """Judge a challenger by the bars that its training recorded, and make it champion if it clears every one.

    The sealed holdout is opened only when every other bar is cleared, once per challenger, and the opening is logged.
    The verdict, bar by bar, and all that it was given on stay in the registry. Exit status 1: refused; the run can
    still be published as an evaluation.

    Example: trainer promote
    Example: trainer promote --run var/runs/a --data var/data/us --bars configs/trainer.yml
    """
    from signals.code_version import code_version
    from trainer.promotion import mlflow_mirror as mirror
    from trainer.promotion.bars.config import read_bars
    from trainer.promotion.champions import PromotionRequest
    from trainer.promotion.champions import promote as judged

    settings, waivers, said = _settings(portfolio, equity), waivers_of(waive or [], by), _word(replace_for, word, by)
    mlflow = _mlflow(tracking, registry)  # makes its database where there is none: after what is refused at once
    kept = Kept("what the registry has of it stays, an opening of the seal too", GOES_ON)
    with progress("judging", MEASURING_STEPS, as_json=as_json, kept=lambda: kept) as step:
        request = PromotionRequest(run, data, registry, read_bars(bars), settings, code_version("trainer"), now(), waivers, said)
        found = judged(request, step)
    emit({**found.record, "is_new": found.is_new}, as_json=as_json, text=_text_of(found.verdict, found.record, is_new=found.is_new))
    mirror.sync(mlflow, registry, str(found.record["sleeve"]))  # what is recorded is printed, whether or not it is mirrored
    if not found.verdict.is_promoted:
        raise typer.Exit(options.REFUSED_EXIT)


def shadow(
    data: options.Data = options.OURS,
    run: Annotated[Path, typer.Option(help="Run folder of `trainer train`.", show_default="the only one")] = options.OURS,
    recorded: Annotated[Path | None, typer.Option(help="What a device recorded: the file of `appliance shadow --to`, or a folder.")] = None,
    registry: options.Registry = options.VAR,
    bars: options.Bars = None,
    portfolio: options.Portfolio = None,
    equity: options.Equity = 1_000_000.0,
    as_json: options.AsJson = False,
) -> None:
    """Hold what a device scored since the training against the model's own scores and against what was promised.

    A challenger of a champion needs the record of a device before `trainer promote`. It shows that the model works, and
    is no evidence of skill. Without --recorded the model is asked now for every session since its training, before a
    promotion to see how that may end, and after it to watch the champion: the interval of the mean IC holds at every
    time, however often it is looked at. The bar accepts no such answer.
    """
    from trainer.backtest.subject import subject_of
    from trainer.promotion.bars.config import read_bars
    from trainer.promotion.shadow_record import shadow as measured

    band = read_bars(bars).shadow_band
    with progress("comparing", as_json=as_json):
        found = measured(subject_of(run, data), data, _settings(portfolio, equity), band, recorded, registry)
    profit = found.profit
    if found.recorded is None:
        origin = "Asked now, recorded by no device: it does not clear the bar."
    else:
        origin = f"Recorded on {', '.join(found.recorded.venues)} from {found.recorded.first}."
        origin += " A rehearsal, in its own time: it does not clear the bar." * bool(found.recorded.is_rehearsal)
    lines = [
        f"Shadow of {run}: {found.sessions} sessions with an IC, {found.first} to {found.last}, {found.faults} faults",
        origin,
        f"Turnover {_yearly(profit.turnover_annual, '.1f')} and costs {_yearly(profit.cost_annual, '.2%')} "
        "a year, after the book was built",
        f"Rank IC {found.ic if found.ic is None else format(found.ic, '+.4f')}; predicted {found.predicted:+.4f}, "
        f"{band:.0%} band {found.band_low:+.4f} to {found.band_high:+.4f}",
        f"Net return {_yearly(profit.net_return, '+.2%')}, annual Sharpe ratio {_yearly(profit.annual_sharpe, '.2f')} over "
        f"{profit.sessions} sessions: luck at this length, no evidence of skill",
        _at_all_times(found),
        *(f"Fault: {reason}" for reason in found.reasons),
    ]
    emit(to_json(found), as_json=as_json, text="\n".join(lines))


def _yearly(value: float | int | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _at_all_times(found: Shadow) -> str:
    """The interval that goes on, and what it says of the promise."""
    interval = found.interval
    low, high, count = interval.low, interval.high, interval.values
    if low is None or high is None:
        return f"No mean IC agrees with all of the {count} sessions whose labels share nothing: look at them"
    said = f"At all times with {interval.level:.0%}: mean IC {low:+.4f} to {high:+.4f}, by {count} sessions apart"
    if high < 0.0:
        return f"{said}: IT RANKS THE WRONG WAY ROUND"
    if high < found.predicted:
        return f"{said}: below what was promised"
    return f"{said}: the promised IC is not ruled out" + " and 0 is" * (low > 0.0)


def rollback(
    context: typer.Context,
    sleeve: options.Sleeve,
    version: Annotated[str, typer.Option(help="The earlier champion, as `trainer history` names it.")],
    reason: Annotated[str, typer.Option(help="For readers of the history.")],
    registry: options.Registry = options.VAR,
    keys: Annotated[
        Path | None, typer.Option(help="Folder made by `trainer keys`, with its root key.", show_default=options.WORKSPACE)
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Store folder that the champions were published to.", show_default=options.WORKSPACE)
    ] = None,
    valid_until: Annotated[date | None, options.dated("Last day on which devices may use the grant.", show_default=False)] = None,
    to: Annotated[Path | None, typer.Option(help="File to write the signed grant to.")] = None,
    tracking: options.Tracking = "",
    as_json: options.AsJson = False,
) -> None:
    """Make an earlier champion the champion again, and sign the grant by which devices may return to its bundle.

    Without --valid-until and --to only the history is written; `trainer grant-rollback` signs later.
    """
    from signals.files import write_atomic
    from trainer.promotion import champions, lineage_log
    from trainer.promotion import history as histories
    from trainer.promotion import mlflow_mirror as mirror
    from trainer.publishing import keys as sign
    from trainer.publishing import rollback as way_back

    if not reason.strip():
        raise FixInput("a rollback needs a reason", where="--reason", fix="Give the reason, for readers of the history")
    if valid_until or to:
        places = workspace_of(context).places
        keys, store = keys or places.keys, store or (Path(places.store) if places.store else None)
    given = [bool(keys), bool(store), bool(valid_until), bool(to)]
    if any(given) and not all(given):
        raise FixInput("a grant needs all of --keys, --store, --valid-until and --to", fix="Give all four, or none")
    mlflow = _mlflow(tracking, registry)
    signed = b""
    if keys and store and valid_until and to:
        known = histories.read(registry / histories.CHAMPIONS)
        models = lineage_log.returnable(registry, champions.former(known, sleeve, version))
        signed = sign.grant_rollback(keys, way_back.grant_of(store, models, valid_until, reason.strip()))
    record = champions.rollback(registry, sleeve, version, reason, now())
    if to:
        write_atomic(to, signed)
    text = f"{sleeve}: {version} is champion again instead of {record['instead_of']}: {record['why']}"
    after = f"\nSigned: {to}; put it to use with `appliance rollback-bundle --grant`." if to else ""
    emit({**record, "grant": to}, as_json=as_json, text=text + after)
    mirror.sync(mlflow, registry, sleeve)


def history(
    registry: options.Registry = options.VAR,
    sleeve: Annotated[str, typer.Option(help="Only this sleeve.")] = "",
    at: Annotated[str, typer.Option(help="Who was champion then: YYYY-MM-DD or an ISO time, UTC.")] = "",
    verify: Annotated[bool, typer.Option(help="Also check every stored case, and judge it again.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Say who was champion when, instead of whom, and why; every line's hash is checked on the way."""
    from trainer.lineage.retrain import audit as lineages_verified
    from trainer.promotion import champions
    from trainer.promotion import history as histories
    from trainer.promotion.lineage_log import LINEAGES

    known = histories.read(registry / histories.CHAMPIONS)
    opened = histories.read(registry / histories.OPENINGS)
    text: list[str] = []
    records = [r for r in known.records if sleeve in ("", r["sleeve"])]
    document: dict[str, object] = {"records": records}
    if at:
        then = _instant(at)
        names = sorted({str(r["sleeve"]) for r in records})
        champions_then = {name: histories.champion(known, name, then) for name in names}
        document = {"at": then, "champions": champions_then}
        text = [f"{name}: {_named(record)}" for name, record in champions_then.items()]
    else:
        text = [_line(record) for record in records]
        again = [r for r in histories.read(registry / LINEAGES).records if sleeve in ("", r["sleeve"])]
        document["lineages"] = again
        text += [
            f"{r['number']:>4}  {r['at']}  {r['event']:<11}  {r['role']} lineage {r['lineage']}, model {r['of']}"
            + (f": {r['why']}" if "why" in r else "")
            for r in again
        ]
    document["openings"] = sum(r["kind"] == "opened" for r in opened.records)
    if verify:
        with progress("judging again", as_json=as_json):
            found = champions.audit(registry)
        verified: dict[str, object] = {
            "records": found.records.records,
            "head": found.records.head,
            "openings": found.openings.records,
            "earlier_rules": list(found.earlier),
        }
        document["verified"] = verified | {"lineages": lineages_verified(registry)}
        text.append(_verified(found))
    emit(document, as_json=as_json, text="\n".join(text) or "Nothing has been judged yet.")


def _verified(found: Audit) -> str:
    said = f"Verified: {found.records.records} records, head {found.records.head[:12]}; "
    if not found.earlier:
        return said + "every verdict follows again."
    numbers = ", ".join(map(str, found.earlier))
    return (
        f"{said}every verdict under the rules of now follows again. Records {numbers} were judged under earlier "
        "rules: their cases are as they were stored, their verdicts are kept as they were given and were not judged "
        "again."
    )


def waivers_of(texts: list[str], by: str) -> tuple[BarWaiver, ...]:
    """Return the waivers that a person typed.

    Raises
    ------
    FixInput
        There is no reason, or nobody's name.
    """
    if texts and not by.strip():
        raise FixInput("a bar is waived under a person's name", where="--by", fix="Say who answers for it")
    from trainer.promotion.measured import BarWaiver

    found = []
    for text in texts:
        bar, parted, reason = text.partition(":")
        named = parted and bar.strip() in WAIVABLE
        bar, reason = (bar.strip(), reason) if named else ("universe", text)
        if not reason.strip():
            raise FixInput("a waiver needs a reason", where="--waive", fix=f"Write '{bar}: why it may be accepted'")
        found.append(BarWaiver(bar, by.strip(), reason.strip()))
    return tuple(found)


def _settings(portfolio: Path | None, equity: float) -> BookSettings:
    from execution.config import ExecutionConfig
    from portfolio.config import PortfolioConfig
    from signals.config import load
    from trainer.backtest.subject import BookSettings

    chosen = load(portfolio, PortfolioConfig) if portfolio else PortfolioConfig()
    return BookSettings(chosen, ExecutionConfig(), equity)


def _mlflow(uri: str, registry: Path) -> Any:  # an MlflowClient, whose module takes a second to load
    from trainer.promotion import mlflow_mirror as tracking

    registry.mkdir(parents=True, exist_ok=True)
    return tracking.client(uri or tracking.default_uri(registry))


def _word(reason: str, text: str, by: str) -> Word | None:
    from trainer.promotion.bars.successor import REASONS
    from trainer.promotion.measured import Word

    given = Word(reason.strip(), text.strip(), by.strip())
    if not given.reason and not given.text:
        return None  # the name may be that of --waive
    if reason not in REASONS or not all(vars(given).values()):
        raise FixInput(
            "a person's word needs a reason, a sentence and a name",
            where="--replace-for, --word, --by",
            fix=f"Give --replace-for {', '.join(REASONS[:-1])} or {REASONS[-1]} with --word and --by",
        )
    return given


def _text_of(verdict: PromotionVerdict, record: Record, *, is_new: bool) -> str:
    if not is_new:
        return f"{record['run']} is champion {record['version']} of {record['sleeve']} already; nothing was recorded."
    width = max(len(row.bar) for row in verdict.rows)
    rows = [
        f"{'pass' if row.passed else 'FAIL'}  {row.bar:<{width}}  {figure(row.value):>12}  {figure(row.limit):>12}  " + row.why
        for row in verdict.rows
    ]
    head = f"{'':4}  {'bar':<{width}}  {'found':>12}  {'asked':>12}"
    rows += [f"      {row.bar}: {row.power}" for row in verdict.rows if row.power]
    if verdict.is_promoted:
        end = f"PROMOTED: {record['run']} is champion {record['version']} of {record['sleeve']}."
    else:
        failed = [row.bar for row in verdict.rows if not row.passed]
        end = (
            f"REFUSED: {len(failed)} of {len(verdict.rows)} bars are not met: {', '.join(failed)}. "
            "It can be published with --role evaluation, and carries this refusal."
        )
    return "\n".join([head, *rows, "", end])


def figure(value: float | str | None) -> str:
    """Return a figure of a row as it is printed."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, int | float) else value


def _line(record: Record) -> str:
    who = f"{record['sleeve']} {record['version'] or '-'}"
    instead = f", instead of {record['instead_of']}" if record["instead_of"] else ""
    when = f"{record['number']:>4}  {record['at']}  {record['event']:<11}"
    return f"{when}  {who}  {record['run']}{instead}: {record['why']}"


def _named(record: Record | None) -> str:
    return f"{record['version']} of {record['run']}, since {record['at']}" if record else "nobody"


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise FixInput(f"{text!r} is not a time", where="--at", fix="Write it as YYYY-MM-DD or as an ISO time") from None
    if len(text) == len("YYYY-MM-DD"):
        found = found.replace(hour=23, minute=59, second=59)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


register = options.registered({options.PROMOTION: (promote, shadow, rollback, history)})
