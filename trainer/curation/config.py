"""Configuration of curation: section `curation` of configs/trainer.yml."""

from pathlib import Path

from pydantic import Field

from signals.audit.defects import DefectConfig
from signals.audit.session_audit import CoverageConfig
from signals.config import Config, load_section
from signals.market.eligibility_rule import EligibilityConfig
from signals.market.manifest import MIN_HISTORY_SESSIONS

SECTION = "curation"


class CurationConfig(Config):
    """Rules of eligibility and the thresholds of the audit.

    Attributes
    ----------
    min_history : int
        Usable bars, the session's own included, that make a name eligible where there is no universe table.
    etfs_eligible : bool
        Whether rows of the kind "etf" may be eligible where there is no universe table.
    min_symbols : int
        Fewest symbols that a delivery may have.
    all_assets : bool
        A person's word that the deliveries hold every asset that met the rule of eligibility at its time, inactive
        ones included (`trainer ingest --all-assets`): the universe is then reconstructed.
    max_early_ends : float
        Share of the names that left a membership table and traded on which may have fallen at once, by more than
        chance, and of the dead which may have left it just before they died.
    survivor_sessions, survivor_years : int
        A dataset longer than `survivor_years` whose every name has a bar in the last `survivor_sessions` sessions
        holds survivors only.
    eligibility : EligibilityConfig
        Least price and dollar volume, with and without a universe table.
    """

    min_history: int = Field(default=MIN_HISTORY_SESSIONS, ge=1)
    etfs_eligible: bool = False
    min_symbols: int = Field(default=1, ge=1)
    all_assets: bool = False
    max_early_ends: float = Field(default=0.15, ge=0, le=1)
    survivor_sessions: int = Field(default=5, ge=1)
    survivor_years: int = Field(default=2, ge=1)
    eligibility: EligibilityConfig = EligibilityConfig()
    defects: DefectConfig = DefectConfig()
    coverage: CoverageConfig = CoverageConfig()


def read_config(path: Path | None) -> CurationConfig:
    """Read the section `curation` of a trainer configuration; no file or no section means the defaults.

    Raises
    ------
    BadConfig
        The file is absent or not YAML, or the section has a wrong key or value.
    """
    return load_section(path, SECTION, CurationConfig)
