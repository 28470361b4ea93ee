"""Planted bugs between a frozen plan and its end at the broker: journal, posts, answers, latch, account, daemon."""

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


SUBMISSION = "appliance/orders/submission.py"
TRACKING = "appliance/orders/tracking.py"
ONE_WORD = "tests/test_appliance/test_one_word.py"
ACCEPTING = "tests/test_appliance/test_accepting.py"
RESOLUTION = "appliance/orders/resolution.py"
ORDERPATH = "tests/test_appliance/test_orderpath.py"
SENT = "tests/test_appliance/test_submission.py"
RECOVERY = "tests/test_appliance/test_recovery.py"
ALPACA = "tests/test_execution/test_alpaca.py"
CONTRACT = "tests/test_execution/test_alpaca_contract.py"
EARLIER = "tests/test_appliance/test_earlier_orders.py"
STEPS = "tests/test_appliance/test_steps.py"
STRANGERS = "tests/test_appliance/test_strangers.py"
USED = "tests/flow/test_used_account.py"

LATCH_FIRST = """\
    deps.latch.close()
    record = deps.latch.halt(name, reason, instant(deps.clock))
"""
LATCH_LAST = """\
    carry_out(deps, session, deps.latch.read(), name, reason, measure)
    record = deps.latch.halt(name, reason, instant(deps.clock))
"""
ARMS_ONLY_FRESH = """\
        if not current.is_armed and not current.is_fresh:
            raise FixInput(
                "a halt is in force; the first arming does not clear it",
"""
ARMS_ANY = ARMS_ONLY_FRESH.replace("not current.is_armed and not current.is_fresh", "False")
SEND_AGAIN = """\
    _conserve(path, plans.require(path.ledger, entry.intent.key.session), entry.intent)
    return _post(path, entry)
"""
SEND_ANOTHER = """\
    again = entry.intent.next_attempt(entry.intent.quantity, entry.intent.time_in_force)
    intents.add(path.ledger, again, path.clock.now())
    cid = again.key.client_order_id
    return _post(path, intents.move(path.ledger, cid, IntentState.JOURNALED, path.clock.now()))
"""

ORDERS = (
    Planted("take a ledger's instant without a zone", "appliance/ledger/rows.py", "if found.tzinfo is None:", "if False:",
            "tests/test_appliance/test_ledger_rows.py::test_a_column_that_holds_something_else_is_named"),
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
    Planted("let a huge number through as text", "signals/text/strict_json.py", "    except InvalidOperation:  #",
            "    except ZeroDivisionError:  #",
            f"{ALPACA}::test_every_answer_to_a_post_is_classified_after_exactly_one_post"),
    Planted("let half a character through", "signals/text/strict_json.py", "        if look_at_texts and any(",
            "        if False and any(",
            f"{ALPACA}::test_every_answer_to_a_post_is_classified_after_exactly_one_post"),
    Planted("believe that an order expired before its auction", TRACKING,
            "if order.status is OrderStatus.EXPIRED and path.clock.now() < over:", "if False:",
            f"{ONE_WORD}::test_before_its_auction_no_order_has_expired_or_filled_however_often_it_is_said"),
    Planted("believe that nothing filled", TRACKING, "order.filled_quantity == entry.intent.quantity and path.clock",
            "path.clock", f"{ONE_WORD}::test_one_answer_of_an_ending_is_followed_by_nothing"),
    Planted("believe the first word of an ending", TRACKING,
            "all(again is not None and _same(again, order) for again in _asked_again(path, entry))", "True",
            f"{ONE_WORD}::test_one_answer_of_an_ending_is_followed_by_nothing"),
    Planted("follow a leader unasked", "appliance/orders/batch.py", "                confirm_filled(path, made)",
            "                pass",
            f"{ONE_WORD}::test_nothing_follows_a_leader_that_is_not_filled_when_it_is_asked_for_again"),
    Planted("accept a break without its orders", "appliance/orders/reconciliation.py",
            "elif order is not None and differs(entry, order):", "elif False:",
            f"{ACCEPTING}::test_an_acknowledgement_with_a_wrong_id_ends_when_its_session_is_accepted"),
    Planted("know every break once one was accepted", "execution/reconcile.py", "if d in known else d",
            "if known else d",
            f"{ACCEPTING}::test_what_the_broker_contradicts_itself_in_is_known_until_it_changes"),
    Planted("give every byte its own deadline", "execution/brokers/transport.py",
            "min(READ_TIMEOUT_SECONDS, self._deadline.left())", "READ_TIMEOUT_SECONDS",
            f"{ALPACA}::test_an_answer_that_drips_has_one_deadline_in_all"),
    Planted("random client order ids", "execution/orders.py", "hashlib.sha256(full.encode()).hexdigest()[:6]",
            '__import__("secrets").token_hex(3)',
            "tests/test_execution/test_planning.py::test_ids_do_not_depend_on_anything_that_a_recomputation_could_change"),
    Planted("skip the fsync of the ledger", "appliance/ledger/database.py", '"PRAGMA synchronous=FULL"',
            '"PRAGMA synchronous=OFF"', "tests/test_appliance/test_recovery_power.py"
            "::test_after_a_power_cut_at_a_post_the_journal_knows_the_order_and_the_session_ends_well"),
    Planted("take a silent look-up for absence", RESOLUTION, "            raise _unproven(cid, error) from error",
            "            return None", f"{SENT}::test_a_look_up_that_is_not_answered_proves_nothing"),
    Planted("call an order absent without the list", RESOLUTION, " or _listed(path, entry)", "",
            f"{SENT}::test_a_look_up_that_is_not_answered_proves_nothing"),
    Planted("journal with a closed latch", SUBMISSION, "    path.latch.require_armed()\n", "",
            f"{SENT}::test_a_closed_latch_stops_an_order_before_it_is_journaled"),
    Planted("post though the latch has just closed", SUBMISSION,
            "    path.latch.require_armed()  # it may", "    # it may",
            f"{SENT}::test_a_latch_that_closes_while_the_row_goes_to_disk_stops_the_post"),
    Planted("send outside the window", SUBMISSION, "    if not is_open(path, entry.intent):\n        return deny",
            "    if False:\n        return deny", f"{SENT}::test_an_order_outside_its_window_is_denied_not_sent"),
    Planted("ignore the pre-trade checks", SUBMISSION, "    if found is not None:", "    if False:",
            f"{SENT}::test_the_checks_run_again_right_before_an_order_is_journaled"),
    Planted("resend without a limit", SUBMISSION, ">= path.config.submission.max_resends:", ">= 10**6:",
            f"{SENT}::test_more_resends_than_allowed_halt"),
    Planted("send a third time", SUBMISSION, "if entry.posts > 1:", "if entry.posts > 9:",
            f"{SENT}::test_an_order_that_is_absent_after_its_resend_halts_and_is_never_posted_again"),
    Planted("forget earlier attempts", "appliance/orders/conservation.py",
            "if committed + leaving.quantity > origin.quantity:", "if leaving.quantity > origin.quantity:",
            f"{ORDERPATH}::test_attempts_together_stay_within_the_planned_quantity_one_alive_at_a_time"),
    Planted("guess an unknown status", "appliance/orders/tracking.py", "if order.status is OrderStatus.UNKNOWN:",
            "if False:", f"{SENT}::test_an_unknown_status_is_recorded_and_halts"),
    Planted("read a torn latch as armed", "appliance/controls/latch.py", "LatchRecord(LatchState.HALTED, _identity(content)",
            "LatchRecord(LatchState.ARMED, _identity(content)",
            "tests/test_appliance/test_latch.py::test_a_file_that_cannot_be_read_counts_as_halted"),
    Planted("let a missing figure pass", "appliance/controls/tripwires.py", "row.action, True,", "row.action, False,",
            "tests/test_appliance/test_tripwires.py::test_a_missing_figure_trips"),
    Planted("book an activity twice", "execution/reconcile.py", "if activity.id not in booked", "if activity.id",
            "tests/test_execution/test_reconcile.py::test_2_what_is_booked_counts_no_second_time"),
    Planted("take shares for ours that a kept name became", "execution/reconcile.py", "        if not ours.keeps:\n",
            "        if True:\n",
            "tests/test_execution/test_reconcile.py::test_10_shares_that_nothing_of_ours_became_are_a_persons_to_decide"),
    Planted("take a transfer for ours", "execution/reconcile.py", "if row.kind in TRANSFERS:", "if False:",
            "tests/test_execution/test_reconcile.py::test_10_shares_that_nothing_of_ours_became_are_a_persons_to_decide"),
    Planted("let an order of an earlier session wait", "appliance/jobs/reconcile.py", "    end_earlier(path, session)\n", "",
            f"{EARLIER}::test_an_order_that_waits_for_the_next_open_is_cancelled_before_the_plan"),
    Planted("plan though an earlier order works on", "appliance/orders/recovery.py", "        if wait is None:\n",
            "        if wait is None:\n            return\n",
            f"{EARLIER}::test_one_that_cannot_be_cancelled_lets_no_plan_be_made_and_its_fill_is_no_strangers"),
    Planted("send after a close that the broker alone knows", "appliance/orders/pretrade_context.py",
            "(day.day, day.open, day.close) for day in theirs] != [(ours.day, ours.open, ours.close)",
            "(day.day, day.open) for day in theirs] != [(ours.day, ours.open)",
            f"{EARLIER}::test_nothing_is_sent_where_the_broker_closes_at_another_time"),
    Planted("trade scores that were refused later", "appliance/jobs/score.py",
            "            score_rows.save(deps.ledger, asof, slot.name, ())  # an earlier attempt's are no longer believed\n", "",
            "tests/flow/test_two_sleeves.py::test_scores_that_a_later_attempt_refuses_are_not_traded"),
    Planted("overlook a foreign order", "execution/reconcile.py", "if order.id not in known\n", "if not order.id\n",
            "tests/test_execution/test_reconcile.py::test_6_a_foreign_order_breaks_the_first_time_it_is_seen"),
    Planted("let the client repeat a POST", "execution/brokers/retrying.py", "client._retry = 0", "client._retry = 3",
            f"{ALPACA}::test_every_answer_to_a_post_is_classified_after_exactly_one_post"),
    Planted("take a duplicate id for a refusal", "execution/brokers/alpaca.py", "frozenset({40010000, 40310000",
            "frozenset({40010001, 40010000, 40310000",
            f"{CONTRACT}::test_an_id_is_used_once_for_ever_and_a_duplicate_is_looked_up"),
    Planted("take anybody's 404 for proof of absence", "execution/brokers/alpaca.py",
            "status == NOT_FOUND and _problem(error) is not None", "status == NOT_FOUND",
            f"{ALPACA}::test_only_the_brokers_own_404_proves_that_an_order_is_absent"),
    Planted("take another order's acknowledgement for ours", "execution/brokers/alpaca.py",
            "if order.client_order_id != intent.key.client_order_id:", "if not order.client_order_id:",
            f"{ALPACA}::test_an_acknowledgement_of_another_order_halts"),
    Planted("drop the last page", "execution/brokers/alpaca.py", "            for item in page:\n",
            "            for item in page if len(page) == size else ():\n",
            f"{ALPACA}::test_every_order_is_listed_exactly_once_whatever_the_page"),
    Planted("wait for an answer without end", "execution/brokers/transport.py",
            "limits = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)", "limits = (CONNECT_TIMEOUT_SECONDS, None)",
            "tests/test_execution/test_alpaca_transport.py::test_every_request_carries_both_time_outs_whatever_its_caller_says"),
    Planted("send a quantity as a float", "execution/brokers/parsing.py", '"qty": format(quantity, "f"),',
            '"qty": str(float(quantity)),',
            f"{ALPACA}::test_numbers_leave_as_strings_and_fractions_are_cut_off_never_rounded_up"),
    Planted("send again under a new id", SUBMISSION, SEND_AGAIN, SEND_ANOTHER,
            f"{RECOVERY}::test_a_lost_request_or_answer_costs_time_and_nothing_else"),
    Planted("send again without a look-up", RESOLUTION,
            "return _looked_up(path, entry.client_order_id) or _listed(path, entry)", "return None",
            f"{RECOVERY}::test_a_lost_request_or_answer_costs_time_and_nothing_else"),
    Planted("let two attempts live", "appliance/orders/conservation.py",
            "if any(entry.state not in UNSENT | ENDED_AT_BROKER | NEVER_AT_BROKER for entry in others):",
            "if not attempts:",
            f"{ORDERPATH}::test_attempts_together_stay_within_the_planned_quantity_one_alive_at_a_time"),
    Planted("trade before recovering", "appliance/jobs/trade.py", "    recover(path)\n", "",
            "tests/test_appliance/test_sweep.py::test_every_commit_of_every_job_may_be_the_last_thing_that_it_does"),
    Planted("cancel before it is on record that the rest is wanted", "appliance/orders/unfilled_orders.py",
            "        rests.write(path.ledger)\n        for order_id", "        for order_id",
            f"{STEPS}::test_killed_with_a_cancellation_confirmed_the_rest_leaves_all_the_same"),
    Planted("attempt a rest again without counting what leaves already", "appliance/orders/unfilled_orders.py",
            " - quantity_at_step(rests, attempts, step)", "",
            f"{STEPS}::test_rests_of_two_steps_together_stay_below_the_participation_cap"),
    Planted("say nothing of a rest that was lost", "appliance/orders/remainders.py",
            "                lost.append(_denied(path, last, shares))\n", "                pass\n",
            f"{STEPS}::test_a_rest_whose_window_closed_before_it_could_leave_has_a_denied_row"),
    Planted("react before the latch is closed", "appliance/safety/halt.py", LATCH_FIRST, LATCH_LAST,
            "tests/test_appliance/test_runner.py::test_the_latch_is_closed_before_any_other_reaction"),
    Planted("let a kill look like an error of the transport", "appliance/runtime/kill_switch.py",
            "            if self._breaks_off:\n                raise Killed", "            raise OSError",
            "tests/test_appliance/test_kill_switch.py::test_a_kill_inside_a_request_is_no_error_of_the_transport"),
    Planted("close the latch by writing it", "appliance/controls/latch.py",
            "            self._fs.rename(self._prepared, self._path)\n", "            raise OSError\n",
            "tests/test_appliance/test_latch.py::test_closing_needs_no_reading_and_no_room"),
    Planted("end a halt at an answer that cannot be read", "appliance/safety/halt.py",
            "    except Exception as error:  # noqa: BLE001", "    except TrademlError as error:  # noqa: BLE001",
            "tests/test_appliance/test_runner.py::test_a_halt_is_recorded_and_told_whatever_cancel_all_and_the_clock_do"),
    Planted("let one line end the control socket", "appliance/daemon/control_socket.py",
            "    except BadJson:\n", "    except UnicodeDecodeError:\n",
            "tests/test_appliance/test_control_socket.py::test_nonsense_is_answered_and_never_done"),
    Planted("take a lost latch for a fresh device's", "appliance/controls/latch.py",
            "        if last is None:", "        if True:",
            "tests/test_appliance/test_latch.py"
            "::test_a_latch_that_is_lost_beside_a_ledger_that_was_armed_is_a_halt_of_unknown_cause"),
    Planted("work on without a ledger", "appliance/daemon/supervisor.py",
            "            self.close_latch(DAMAGED, str(error))", "            pass",
            "tests/test_appliance/daemon/test_supervisor.py::test_a_ledger_that_is_damaged_under_the_daemon_halts_and_is_told"),
    Planted("trust the local clock", "appliance/safety/tripwire_figures.py",
            "skew = proven_skew_seconds(before, broker.clock().now, deps.clock.now())", "skew = 0.0",
            "tests/test_appliance/test_faults_venue.py::test_a_clock_that_is_wrong_halts_before_any_order"),
    Planted("keep an order of a struck session waiting", SUBMISSION, "return session is None or sending_windows.is_past(",
            "return session is not None and sending_windows.is_past(",
            "tests/test_appliance/test_faults_venue.py"
            "::test_what_was_left_of_a_session_that_is_struck_is_settled_and_the_device_goes_on"),
    Planted("post an order of a struck session", SUBMISSION, "return session is not None and sending_windows.is_open(",
            "return session is None or sending_windows.is_open(",
            "tests/test_appliance/test_faults_venue.py"
            "::test_what_was_left_of_a_session_that_is_struck_is_settled_and_the_device_goes_on"),
    Planted("ask the calendar for the day of an old order", "appliance/orders/order_path.py",
            "return datetime.combine(session, time(0), NEW_YORK).astimezone(UTC)", "return self.calendar.session(session).at(time(0))",
            "tests/test_appliance/test_faults_venue.py"
            "::test_what_was_left_of_a_session_that_is_struck_is_settled_and_the_device_goes_on"),
    Planted("leave in doubt what a missed trade left", "appliance/jobs/registry.py", 'follows=("trade",)', 'after=("trade",)',
            "tests/test_appliance/test_confirm.py"
            "::test_confirm_settles_what_a_trade_left_in_doubt_and_follows_it_with_nothing"),
    Planted("send day orders after a trade that was skipped", "appliance/jobs/confirm.py", "    if has_ended_well and ", "    if ",
            "tests/test_appliance/test_confirm.py"
            "::test_orders_that_wait_for_the_open_leave_only_after_a_trade_that_ended_well"),
    Planted("take another margin multiplier for the accepted one", "appliance/safety/tripwire_figures.py",
            "account.multiplier != accepted.multiplier]", "False]",
            "tests/test_appliance/test_faults_venue.py::test_another_margin_multiplier_is_a_fault_until_a_person_accepts_it"),
    Planted("accept a margin multiplier by agreeing on the books", "appliance/ledger/snapshots.py",
            "replace(found, multiplier=Decimal(multiplier)) if found is not None and multiplier else found",
            "latest(ledger) if multiplier else found",
            "tests/test_appliance/test_faults_venue.py::test_another_margin_multiplier_is_a_fault_until_a_person_accepts_it"),
    Planted("count sells as buying power before they fill", "execution/planning/pretrade.py",
            "return ZERO if lowers(intent, held)", "return -abs(intent.notional) if lowers(intent, held)",
            "tests/test_execution/test_pretrade.py::test_what_an_order_reserves"),
    Planted("judge an auction order by its own plan", "appliance/orders/pretrade_context.py",
            "latest = None if prices is None else prices.latest(names)", "latest = None",
            f"{ORDERPATH}::test_an_auction_order_is_compared_with_the_broker_s_newest_price_and_not_with_its_own_plan"),
    Planted("take another device's order for its own", SUBMISSION, "if outcome.is_taken and entry.posts == 1:",
            "if False:", f"{STRANGERS}::test_the_second_of_two_devices_halts_at_its_first_order"),
    Planted("begin a book over positions that nobody decided about", "appliance/orders/reconciliation.py",
            "    require_decided(path, reports.positions, working)\n", "",
            f"{STRANGERS}::test_no_book_begins_over_positions_that_nobody_decided_about"),
    Planted("begin a book while a person's order works in the account", "appliance/orders/reconciliation.py",
            "    if working:\n", "    if False:\n",
            f"{STRANGERS}::test_no_book_begins_while_an_order_of_a_person_works_in_the_account"),
    Planted("arm over positions that nobody decided about", "appliance/setup/arming.py",
            "    require_decided_about(device)\n", "",
            f"{USED}::test_nothing_is_armed_until_a_person_has_decided_about_every_position"),
    Planted("make a device beside another one on its account", "appliance/setup/account.py",
            "if unknown := sorted({order.client_order_id for order in orders} - known):", "if unknown := []:",
            "tests/flow/test_setup.py::test_a_second_device_is_known_by_orders_of_this_program_that_its_ledger_does_not_hold"),
    Planted("send a live key to the paper host", "appliance/setup/paper_keys.py",
            "OTHER_KINDS.get(key_id[:2])", "OTHER_KINDS.get(key_id)",
            "tests/flow/test_setup.py::test_keys_that_are_none_are_refused_with_the_reason_and_kept_nowhere"),
    Planted("begin the ledger of a reset account armed", "appliance/setup/account.py",
            "record = device.latch.halt(HALT_NAME, words, at)", "record = device.latch.read()",
            "tests/flow/test_setup.py::test_after_a_reset_of_the_account_the_ledger_is_set_aside_whole_and_the_device_halted"),
    Planted("let what is flattened open a position", "appliance/setup/holdings.py",
            "            reduces=True,\n", "            reduces=False,\n",
            f"{USED}::test_what_is_flattened_is_closed_by_the_first_plan_with_orders_that_only_lower_it"),
    Planted("flatten into a plan that is frozen already", "appliance/setup/holdings.py",
            "    if plans.load(deps.ledger, session) is not None:\n", "    if False:\n",
            f"{USED}::test_what_is_flattened_is_closed_by_the_first_plan_with_orders_that_only_lower_it"),
    Planted("halt an armed device over what a person adopted", "appliance/orders/reconciliation.py",
            "(undecided(path, reports.positions) or working)", "(reports.positions or working)",
            f"{USED}::test_what_is_adopted_is_traded_to_target_through_the_ramp_and_what_is_kept_never"),
    Planted("count an attempt that never left against its plan", "appliance/orders/conservation.py",
            "    if entry.state in UNSENT:\n", "    if False:\n",
            f"{ORDERPATH}::test_an_attempt_that_never_left_takes_no_shares_from_its_plan"),
    Planted("leave an order that arrived after the cancel-all", "appliance/runtime/kill_switch.py",
            "            _cancel_late_orders(deps)\n", "",
            "tests/test_appliance/test_kill_switch.py::"
            "test_an_order_that_arrives_after_the_cancel_all_is_looked_up_and_cancelled_as_well"),
    Planted("take a page without rows for a market without bars", "execution/brokers/market_data.py",
            "        _require_rows(answer, *PARTS[path])\n", "",
            "tests/test_execution/test_market_data.py::test_a_page_whose_part_holds_no_rows_is_no_answer"),
    Planted(
        "a paused session's frozen plan is sent",
        "appliance/jobs/trade.py",
        "    pause.require_none(deps.fs, deps.folder, session)\n",
        "",
        "tests/flow/test_pause.py::test_a_pause_sends_nothing_new_not_even_of_a_frozen_plan_and_ends_by_itself",
    ),
    Planted(
        "what waited for an auction is sent in a pause",
        "appliance/jobs/confirm.py",
        " and not pause.sentence(deps.fs, deps.folder, session):",
        ":",
        f"{ORDERPATH}::test_a_halted_or_paused_device_confirms_but_sends_nothing",
    ),
    Planted("post on though a pause has begun", "appliance/orders/batch.py",
            "        if path.paused(desk.plan.session):\n            break\n", "",
            f"{SENT}::test_a_pause_that_begins_while_orders_leave_stops_the_next_one"),
    Planted("send an absent order again though a pause has begun", SUBMISSION,
            "    if path.paused(entry.intent.key.session):", "    if False:",
            f"{SENT}::test_an_order_in_doubt_that_is_proven_absent_is_not_sent_again_once_a_pause_has_begun"),
    Planted("end at a pause that cannot be read", "appliance/controls/pause.py",
            "except (OSError, ValueError, BadDocument):", "except (ValueError, BadDocument):",
            "tests/flow/test_pause.py::test_whatever_bears_the_name_pauses_and_is_removed"),
    Planted("overlook a HALT that is no file", "appliance/system/state_folder.py",
            "return os.path.lexists(path)", "return path.is_file()",
            "tests/test_appliance/daemon/test_supervisor.py::test_whatever_bears_the_name_halt_closes_the_latch_at_the_next_look"),
    Planted("let a client of the control socket drip for ever", "appliance/daemon/control_socket.py",
            "        left = until - time.monotonic()\n", "        left = seconds\n",
            "tests/test_appliance/test_control_socket.py::test_a_client_that_drips_is_dropped_at_the_one_deadline_of_its_line"),
    Planted("arm for the first time over a halt", "appliance/controls/latch.py", ARMS_ONLY_FRESH, ARMS_ANY,
            "tests/test_appliance/test_latch.py::test_a_latch_that_is_lost_while_halted_is_the_halt_that_the_ledger_holds"),
)  # fmt: skip
