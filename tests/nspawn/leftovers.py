"""What a card still shows of the product: names of files, words in files, units, rules, users, processes."""

from __future__ import annotations

from tests.nspawn.guest import Guest
from tests.nspawn.rehearsal import Broken

WORDS = ("appliance", "trademl", "alpaca")
ELSEWHERE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/srv", "/var/log")  # what was logged stays in the journal
READ = ("/etc", "/opt", "/usr/local", "/root", "/home", "/var/spool", "/var/lib/systemd", "/lib/systemd/system")
SYSTEMS_OWN_COPIES = {"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-"}
OF_PACKAGES = frozenset({"/etc/default/prometheus-node-exporter"})
PROMISED = OF_PACKAGES | {
    "/var/lib/appliance",
    "user appliance",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/gshadow",
    "/etc/apt/apt.conf.d/52appliance-upgrades",
    "/etc/chrony/conf.d/appliance.conf",
    "/etc/ssh/sshd_config.d/10-appliance.conf",
    "/etc/systemd/journald.conf.d/50-appliance.conf",
    "/etc/nftables.conf",
    "rules of the firewall",
}


def traces(guest: Guest) -> set[str]:
    """Everything on the running card that names the product."""
    names = " -o ".join(f"-iname '*{word}*'" for word in WORDS)
    away = " -o ".join(f"-path {path}" for path in ELSEWHERE)
    found = set(guest.inside(f"find / \\( {away} \\) -prune -o \\( {names} \\) -print -prune").split())
    words = " ".join(f"-e {word}" for word in WORDS)
    found |= set(guest.inside(f"grep -rIlsi {words} {' '.join(READ)} || true").split())
    for what, command in {
        "user appliance": "getent passwd appliance || true",
        "rules of the firewall": "nft list ruleset | grep appliance || true",
        "units": "systemctl list-units --all --plain --no-legend 'appliance*' || true",
        "unit files": "systemctl list-unit-files --no-legend 'appliance*' || true",
        "processes": "ls -ld /proc/[0-9]* | grep -w appliance || true",
        "sealed secrets": "ls -A /etc/credstore /etc/credstore.encrypted 2>/dev/null || true",
    }.items():
        said = guest.inside(command).replace("/etc/credstore:", "").replace("/etc/credstore.encrypted:", "").strip()
        found |= {what} if said else set()
    return found - SYSTEMS_OWN_COPIES


def judge(guest: Guest, promised: frozenset[str] | set[str]) -> None:
    """Break unless the traces are those that are promised to stay."""
    found = traces(guest)
    if found != promised:
        raise Broken(f"left and not promised: {sorted(found - promised)}; promised and gone: {sorted(promised - found)}")
