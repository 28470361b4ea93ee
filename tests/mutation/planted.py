"""Planted bugs in the order path: one row each, a change of the source and the one test that has to fail by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """One bug: `old` stands exactly once in `file`; with `new` in its place `caught_by` fails."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str


SUBMISSION = "appliance/orderpath/submission.py"
RESOLUTION = "appliance/orderpath/resolution.py"
ORDERPATH = "tests/test_appliance/test_orderpath.py"
RECOVERY = "tests/test_appliance/test_recovery.py"
ALPACA = "tests/test_execution/test_alpaca.py"

BUGS = (
    Planted("post twice", SUBMISSION, "outcome = path.broker.submit(entry.intent)",
            "path.broker.submit(entry.intent); outcome = path.broker.submit(entry.intent)",
            f"{RECOVERY}::test_a_calm_session_trades_to_its_end"),
    Planted("post before SENDING is journaled", SUBMISSION,
            "    entry = intents.move(ledger, cid, IntentState.SENDING, path.clock.now())\n", "",
            f"{RECOVERY}::test_the_journal_holds_sending_before_the_broker_sees_the_order"),
    Planted("read a 5xx as a refusal", "execution/brokers/alpaca.py", "not 400 <= status < 500",
            "not 400 <= status < 600", f"{ALPACA}::test_every_answer_to_a_post_is_classified_after_exactly_one_post"),
    Planted("read an unanswered report as empty", "execution/brokers/alpaca.py",
            'raise BrokerUnreachable("the broker does not answer",', 'return parse([])\n        str("",',
            f"{ALPACA}::test_a_list_that_does_not_arrive_is_never_an_empty_one"),
    Planted("random client order ids", "execution/orders.py", "hashlib.sha256(full.encode()).hexdigest()[:6]",
            '__import__("secrets").token_hex(3)',
            "tests/test_execution/test_planning.py::test_ids_do_not_depend_on_anything_that_a_recomputation_could_change"),
    Planted("skip the fsync of the ledger", "appliance/ledger/database.py", '"PRAGMA synchronous=FULL"',
            '"PRAGMA synchronous=OFF"', "tests/test_appliance/test_recovery_power.py"
            "::test_after_a_power_cut_at_a_post_the_journal_knows_the_order_and_the_session_ends_well"),
    Planted("take a silent look-up for absence", RESOLUTION, "            raise _unproven(cid, error) from error",
            "            return None", f"{ORDERPATH}::test_a_look_up_that_is_not_answered_proves_nothing"),
    Planted("call an order absent without the list", RESOLUTION, " or _listed(path, entry)", "",
            f"{ORDERPATH}::test_a_look_up_that_is_not_answered_proves_nothing"),
    Planted("journal with a closed latch", SUBMISSION, "    path.latch.require_armed()\n", "",
            f"{ORDERPATH}::test_a_closed_latch_stops_an_order_before_it_is_journaled"),
    Planted("post though the latch has just closed", SUBMISSION,
            "    path.latch.require_armed()  # it may", "    # it may",
            f"{ORDERPATH}::test_a_latch_that_closes_while_the_row_goes_to_disk_stops_the_post"),
    Planted("send outside the window", SUBMISSION, "    if not is_open(path, entry.intent):\n        return deny",
            "    if False:\n        return deny", f"{ORDERPATH}::test_an_order_outside_its_window_is_denied_not_sent"),
    Planted("ignore the pre-trade checks", SUBMISSION, "    if found is not None:", "    if False:",
            f"{ORDERPATH}::test_the_checks_run_again_right_before_an_order_is_journaled"),
    Planted("resend without a limit", SUBMISSION, ">= path.config.submission.max_resends:", ">= 10**6:",
            f"{ORDERPATH}::test_more_resends_than_allowed_halt"),
    Planted("send a third time", SUBMISSION, "if entry.posts > 1:", "if entry.posts > 9:",
            f"{ORDERPATH}::test_an_order_that_is_absent_after_its_resend_halts_and_is_never_posted_again"),
    Planted("forget earlier attempts", "appliance/orderpath/conservation.py",
            "if committed + leaving.quantity > origin.quantity:", "if leaving.quantity > origin.quantity:",
            f"{ORDERPATH}::test_attempts_together_stay_within_the_planned_quantity_one_alive_at_a_time"),
    Planted("guess an unknown status", "appliance/orderpath/tracking.py", "if order.status is OrderStatus.UNKNOWN:",
            "if False:", f"{ORDERPATH}::test_an_unknown_status_is_recorded_and_halts"),
    Planted("read a torn latch as armed", "appliance/latch.py", "LatchRecord(LatchState.HALTED, _identity(content)",
            "LatchRecord(LatchState.ARMED, _identity(content)",
            "tests/test_appliance/test_latch.py::test_a_file_that_cannot_be_read_counts_as_halted"),
    Planted("let a missing figure pass", "appliance/tripwires.py", "row.action, True,", "row.action, False,",
            "tests/test_appliance/test_tripwires.py::test_a_missing_figure_trips"),
    Planted("book an activity twice", "execution/reconcile.py", "if activity.id not in booked", "if activity.id",
            "tests/test_execution/test_reconcile.py::test_2_what_is_booked_counts_no_second_time"),
    Planted("overlook a foreign order", "execution/reconcile.py", "if order.id not in known\n", "if not order.id\n",
            "tests/test_execution/test_reconcile.py::test_6_a_foreign_order_breaks_the_first_time_it_is_seen"),
)  # fmt: skip
