"""The demo device's files next to its ledger: calendar, manifest, bundle, latch, clock and settings."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import yaml

from appliance.system.state_folder import StateFolder
from signals.files import sha256_of, write_atomic
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import NEW_YORK, Calendar, Session, SessionAudit, SessionStatus

FIRST, LAST = date(2025, 9, 2), date(2027, 1, 29)
HOLIDAYS = {
    2025: ("11-27", "12-25"),
    2026: ("01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"),
    2027: ("01-01", "01-18"),
}
EARLY = frozenset({date(2025, 11, 28), date(2025, 12, 24), date(2026, 11, 27), date(2026, 12, 24)})
FEATURES = (
    ("momentum_5", "ratio", 5),
    ("momentum_20", "ratio", 20),
    ("momentum_60", "ratio", 60),
    ("momentum_126", "ratio", 126),
    ("momentum_12_1", "ratio", 252),
    ("zscore_20", "z", 20),
    ("volatility_20", "annualised ratio", 20),
    ("beta_60", "ratio", 60),
    ("log_traded_usd_20", "log USD", 20),
    ("band_position_20", "ratio", 20),
    ("overnight_mean_20", "ratio", 20),
    ("drawdown_126", "ratio", 126),
)
EXPIRY_SESSIONS = 70
KEYID = sha256_of(b"the key of a demonstration")
KEYS_END = "2099-12-31"


@dataclass(frozen=True)
class DemoBundle:
    """The invented bundle: its folder's name and the hash of its manifest."""

    name: str
    sha256: str


def calendar() -> Calendar:
    """Sessions of New York from September 2025 to January 2027."""
    days = (FIRST + timedelta(days=i) for i in range((LAST - FIRST).days + 1))
    found = [_session(day) for day in days if day.weekday() < 5 and f"{day:%m-%d}" not in HOLIDAYS[day.year]]
    return Calendar("XNYS", tuple(found))


def write_manifest(folder: Path, table: Calendar, audits: tuple[SessionAudit, ...]) -> str:
    """Write a dataset manifest that vouches for no file but carries the calendar; return its snapshot id."""
    manifest = Manifest(
        name="demo",
        version=1,
        vendor="invented",
        calendar=table,
        basis=PriceBasis.RAW,
        first=audits[0].session,
        last=audits[-1].session,
        audits=audits,
        files=(),
        survivorship="unknown",
    )
    write_atomic(folder / "manifest.json", manifest.to_bytes())
    return manifest.snapshot_id


def audit(session: date, status: SessionStatus, reasons: tuple[str, ...], names: int) -> SessionAudit:
    """One session's audit."""
    return SessionAudit(session, status, reasons, names, names, names, 0)


def write_bundle(
    folder: Path, created: datetime, trained: date, snapshot_id: str, *, seq: int = 12, role: str = "champion", ic: float = 0.0312
) -> DemoBundle:
    """Write a bundle folder with its manifest, evidence and signature, and the pointer to it."""
    evidence = json.dumps(
        {
            "capacity": {"gross_annual": 0.094, "net_of_spread_annual": 0.078, "break_even_spread_bps": 31.5},
            "policy_book": {
                "sessions": 1250,
                "block_sessions": 21,
                "annual_return": 0.061,
                "annual_volatility": 0.05,
                "annual_sharpe": 1.2,
                "sharpe_low": 0.3,
                "sharpe_high": 2.1,
                "t": 2.6,
                "gross": 0.9,
                "growth": 0.3,
                "growth_low": 0.1,
                "growth_high": 0.5,
            },
            "deciles": {"spread": {"mean": 0.0031, "t": 5.1}},
            "holdout": {"sessions": 252, "opened": 0},
            "warnings": ["invented evidence for a demonstration"],
        }
    ).encode()
    features = [{"name": n, "units": u, "lookback_sessions": s, "dtype": "float32"} for n, u, s in FEATURES]
    spec = sha256_of(json.dumps(features).encode())
    body: dict[str, object] = {
        "format": "trademl-bundle/2",
        "seq": seq,
        "created": created.isoformat(),
        "role": role,
        "refusal": None,
        "sleeve": "equities_xs",
        "features": features,
        "spec_hash": spec,
        "horizon_sessions": 5,
        "entry": "opg",
        "first_training_session": "2015-01-02",
        "last_training_session": trained.isoformat(),
        "expiry_sessions": EXPIRY_SESSIONS,
        "ic": {"mean": ic, "t": round(ic * 205, 1), "standard_error": 0.0049},
        "golden_tolerance_sd": 1e-05,
        "trainer": {"code_version": "0.1.0+demo", "config_sha256": sha256_of(b"config"), "seed": 1, "snapshot_ids": [snapshot_id]},
        "files": [{"path": "evidence.json", "part": "evidence", "size": len(evidence), "sha256": sha256_of(evidence)}],
    }
    identity = sha256_of(json.dumps(body, sort_keys=True).encode())[:16]
    name = f"{seq}-{identity}"
    content = json.dumps({**body, "bundle_id": identity}, sort_keys=True).encode()
    signature = {"signatures": [{"keyid": KEYID, "sig": "invented"}]}
    pointer = {"seq": seq, "bundle_id": identity, "folder": name, "sha256": sha256_of(content), "grant": None}
    write_atomic(folder / name / "manifest.json", content)
    write_atomic(folder / name / "evidence.json", evidence)
    write_atomic(folder / name / "manifest.sig", json.dumps(signature).encode())
    write_atomic(folder / "current.json", json.dumps(pointer).encode())
    return DemoBundle(name, sha256_of(content))


def write_keyset(folder: Path) -> None:
    """Write the key set that knows the invented signature's key."""
    key = {"keyid": KEYID, "revoked": False, "valid_until": KEYS_END}
    payload = json.dumps({"keys": [key], "threshold": 1, "valid_until": KEYS_END})
    write_atomic(folder / "keyset.json", json.dumps({"payload": payload, "signatures": []}).encode())


def write_settings(folder: StateFolder, now: datetime) -> None:
    """Write settings, an armed latch and the hosted clock."""
    store = folder.root / "store"
    content = {"venue": {"broker": "exchange", "url": ""}, "stores": {"data": str(store / "data"), "bundles": str(store)}}
    write_atomic(folder.config, yaml.safe_dump(content, sort_keys=False).encode())
    write_atomic(folder.root / "clock.json", json.dumps({"now": now.isoformat()}).encode())


def write_latch(
    root: Path,
    at: datetime,
    *,
    state: str = "armed",
    halt_id: str = "",
    name: str = "ARM",
    reason: str = "armed for the first time",
    by: str = "demo",
) -> None:
    """Write the latch file."""
    row = {"state": state, "halt_id": halt_id, "name": name, "reason": reason, "at": at.isoformat(), "by": by, "later": []}
    write_atomic(root / "latch.json", json.dumps(row).encode())


def _session(day: date) -> Session:
    close = time(13) if day in EARLY else time(16)
    opens, closes = (datetime.combine(day, at, NEW_YORK).astimezone(UTC) for at in (time(9, 30), close))
    return Session(day, opens, closes)
