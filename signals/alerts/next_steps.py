"""The next step for each kind of alert: fixed words, which may leave the machine with every message.

A kind is what an alert's key begins with. A test holds every kind that the programs send to this table.
"""

NOTHING_NOW = "Nothing is asked of you now"
NEXT_STEPS: dict[str, str] = {
    "actions": "Look at the names in `appliance alerts`: adjust or sell by hand what the broker converted",
    "all-well": NOTHING_NOW,
    "attribution": "See `appliance alerts` for the session, and `appliance attribution` for the others",
    "bundle": "See why in `appliance alerts`, then publish a bundle that this device accepts",
    "clock-set": "Find out who set the clock; `appliance doctor` says whether it is right now",
    "clock-skew": "Mend the time service of this machine; `appliance doctor` measures it again",
    "continuity": "Compare the evening's bars with another source before tomorrow's plan; see `appliance drift`",
    "control": "If it was not you, halt by `appliance halt` and look at who may log in",
    "controls": "Do not trade on: `appliance halt`, then go back to the release before",
    "disk-low": "Free space on this machine, or replace its disk",
    "drift": "See `appliance drift`; nothing trades on it: train and publish it again on newer data",
    "ended": "See `appliance jobs` and `journalctl -u appliance -o cat`; the next session tries again",
    "events": NOTHING_NOW + ": nothing that is traded reads events; see `appliance data` for the evening's bars",
    "expectation": "Look at `appliance expectation`; then `trainer rollback`, or promote another model",
    "extreme": "Record the action, or write `confirmed` or `delisting` of that day: `trainer ingest --add --actions FILE`",
    "halt": "Read `appliance halts`, find the cause, then `appliance rearm`",
    "halt-file": "Remove the file HALT of the state folder yourself before you re-arm",
    "keyset": "Publish the key set again from the training machine",
    "market": NOTHING_NOW + ": the store is rebuilt; if it happens again, replace the disk",
    "missed": "See why in `appliance jobs`; was the machine off or asleep?",
    "not-ready": "Run `appliance doctor`: it says what is missing and how to fix it",
    "open": "See `appliance jobs`: the job is tried again until its deadline",
    "opinion": "Compare the names in `appliance alerts` with another source: forged, stale or of another basis?",
    "own-bank": NOTHING_NOW + ": the bundle's own bank is asked; if it goes on, publish another bundle of `patterns`",
    "published": "See `appliance trace` for the evenings that were decided on other rows",
    "reduce": "Read `appliance halts`, find the cause, then `appliance rearm` ends it",
    "restarted": NOTHING_NOW + "; if it goes on, see `journalctl -u appliance -o cat`",
    "restated": "Ask the vendor why the past changed; see the names in `appliance alerts`",
    "retention": "Check the place of the backups and its rights; `appliance doctor` tries it",
    "rollback": "See `appliance bundle` for what is in force now; publish a better one",
    "rollback-data": "See `appliance data` for what is in force now; publish a corrected dataset",
    "score": "See why in `appliance alerts`; publish data or a bundle if one is missing",
    "scores": "See why in `appliance alerts`, then deliver scores again by `trainer score-daily`",
    "shorter": "Was the ledger lost? Compare it with the last backup before the next session",
    "sizing": "Publish the sizing policy again",
    "sizing-policy": "Publish a sizing policy again, or set `sizing: false`",
    "skip": "See why in `appliance alerts`: the next session tries again by itself",
    "slept": "Keep this machine from sleeping: it trades at the hours of `appliance timetable`",
    "stack": "Stack again and publish it",
    "stack-weights": "Publish a stack again, or set `stack: false`",
    "test": NOTHING_NOW,
    "tripwire": "See `appliance tripwires` for the figure and its limit, and what the operations page says of this name",
    "trouble": "See `journalctl -u appliance -o cat`; restart the service if it goes on",
    "unit": "See `systemctl --failed` and the journal of that unit",
    "unscored": "See why in `appliance alerts`; publish what the sleeve lacks",
    "watcher": "Compare the credential `heartbeat-url` with the address of its check, and look at the network",
}


def next_step(key: str) -> str:
    """Return what to do about the alert with this key, as a sentence; empty for a kind that the table does not know."""
    if key[:1].isupper():  # a tripwire's name
        return f"{NEXT_STEPS['tripwire']}."
    kinds = [kind for kind in NEXT_STEPS if key == kind or key.startswith(f"{kind}-")]
    return f"{NEXT_STEPS[max(kinds, key=len)]}." if kinds else ""
