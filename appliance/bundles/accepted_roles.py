"""The bundle roles (champion, evaluation, shadow) that this device accepts, by configuration and venue."""

from appliance.config import ApplianceConfig, Venue
from signals.bundle import Role
from signals.bundle.layout import TRADED


def accepted_roles(config: ApplianceConfig) -> frozenset[Role]:
    """Champions anywhere; unproven bundles on the embedded exchange, or on a paper account where a person said so."""
    if config.venue.broker is Venue.EXCHANGE or config.accept_unproven:
        return frozenset({Role.CHAMPION, Role.EVALUATION})
    return frozenset({Role.CHAMPION})


def sought_roles(config: ApplianceConfig) -> tuple[Role, ...]:
    """Roles in the order in which the device looks for its bundle: the preferred one first."""
    preferred = Role(config.stores.prefer)
    return (preferred, *(role for role in TRADED if role is not preferred))


def is_rehearsal(role: Role, config: ApplianceConfig) -> bool:
    """Whether a bundle of this role has the declared size of a rehearsal: a person accepted it unproven."""
    return role is Role.EVALUATION and config.accept_unproven
