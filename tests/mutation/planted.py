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


SUBMISSION = "appliance/orders/submission.py"
TRACKING = "appliance/orders/tracking.py"
ONE_WORD = "tests/test_appliance/test_one_word.py"
ACCEPTING = "tests/test_appliance/test_accepting.py"
RESOLUTION = "appliance/orders/resolution.py"
ORDERPATH = "tests/test_appliance/test_orderpath.py"
RECOVERY = "tests/test_appliance/test_recovery.py"
ALPACA = "tests/test_execution/test_alpaca.py"
CONTRACT = "tests/test_execution/test_alpaca_contract.py"
STEPS = "tests/test_appliance/test_steps.py"
ROUNDING = "tests/test_execution/test_rounding.py"
STRANGERS = "tests/test_appliance/test_strangers.py"
USED = "tests/flow/test_used_account.py"
ATTACKS = "tests/test_appliance/test_bundle_attacks.py"

LATCH_FIRST = """\
    deps.latch.close()
    record = deps.latch.halt(name, reason, instant(deps.clock))
"""
LATCH_LAST = """\
    carry_out(deps, session, deps.latch.read(), name, reason, measure)
    record = deps.latch.halt(name, reason, instant(deps.clock))
"""
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

BUGS = (
    Planted("link clusters in the order of their names", "portfolio/risk/hrp.py", "sorted((cluster[a], cluster[b]))",
            "(cluster[a], cluster[b])",
            "tests/test_portfolio/test_hrp.py::test_the_tree_is_scipys_also_where_distances_are_equal"),
    Planted("take a ledger's instant without a zone", "appliance/ledger/rows.py", "if found.tzinfo is None:", "if False:",
            "tests/test_appliance/test_ledger.py::test_a_column_that_holds_something_else_is_named"),
    Planted("let a variable name a limit", "signals/settings.py", "if section in decided_by:", "if section in decided_by and False:",
            "tests/test_appliance/test_settings.py::test_a_variable_that_could_change_an_order_is_refused_in_words"),
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
    Planted("follow a leader unasked", "appliance/orders/send_sequence.py", "                confirm_filled(path, made)",
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
    Planted("forget earlier attempts", "appliance/orders/conservation.py",
            "if committed + leaving.quantity > origin.quantity:", "if leaving.quantity > origin.quantity:",
            f"{ORDERPATH}::test_attempts_together_stay_within_the_planned_quantity_one_alive_at_a_time"),
    Planted("guess an unknown status", "appliance/orders/tracking.py", "if order.status is OrderStatus.UNKNOWN:",
            "if False:", f"{ORDERPATH}::test_an_unknown_status_is_recorded_and_halts"),
    Planted("read a torn latch as armed", "appliance/controls/latch.py", "LatchRecord(LatchState.HALTED, _identity(content)",
            "LatchRecord(LatchState.ARMED, _identity(content)",
            "tests/test_appliance/test_latch.py::test_a_file_that_cannot_be_read_counts_as_halted"),
    Planted("let a missing figure pass", "appliance/controls/tripwires.py", "row.action, True,", "row.action, False,",
            "tests/test_appliance/test_tripwires.py::test_a_missing_figure_trips"),
    Planted("book an activity twice", "execution/reconcile.py", "if activity.id not in booked", "if activity.id",
            "tests/test_execution/test_reconcile.py::test_2_what_is_booked_counts_no_second_time"),
    Planted("overlook a foreign order", "execution/reconcile.py", "if order.id not in known\n", "if not order.id\n",
            "tests/test_execution/test_reconcile.py::test_6_a_foreign_order_breaks_the_first_time_it_is_seen"),
    Planted("let the client repeat a POST", "execution/brokers/alpaca.py", "client._retry = 0", "client._retry = 3",
            f"{ALPACA}::test_every_answer_to_a_post_is_classified_after_exactly_one_post"),
    Planted("take a duplicate id for a refusal", "execution/brokers/alpaca.py", "frozenset({40010000, 40310000",
            "frozenset({40010001, 40010000, 40310000",
            f"{CONTRACT}::test_an_id_is_used_once_for_ever_and_a_duplicate_is_looked_up"),
    Planted("take anybody's 404 for proof of absence", "execution/brokers/alpaca.py",
            "status == NOT_FOUND and _told(error) is not None", "status == NOT_FOUND",
            f"{ALPACA}::test_only_the_brokers_own_404_proves_that_an_order_is_absent"),
    Planted("take another order's acknowledgement for ours", "execution/brokers/alpaca.py",
            "if order.client_order_id != intent.key.client_order_id:", "if not order.client_order_id:",
            f"{ALPACA}::test_an_acknowledgement_of_another_order_halts"),
    Planted("drop the last page", "execution/brokers/alpaca.py", "            for item in page:\n",
            "            for item in page if len(page) == size else ():\n",
            f"{ALPACA}::test_every_order_is_listed_exactly_once_whatever_the_page"),
    Planted("wait for an answer without end", "execution/brokers/transport.py",
            "limits = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)", "limits = (CONNECT_TIMEOUT_SECONDS, None)",
            f"{ALPACA}::test_every_request_carries_both_time_outs_whatever_its_caller_says"),
    Planted("send a quantity as a float", "execution/brokers/body.py", '"qty": format(quantity, "f"),',
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
            f"{RECOVERY}::test_killed_at_every_single_commit_of_the_trade_job_the_session_ends_the_same"),
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
    Planted("trust the local clock", "appliance/safety/account_measures.py",
            "skew = abs((deps.broker.clock().now - deps.clock.now()).total_seconds())", "skew = 0.0",
            "tests/test_appliance/test_faults_venue.py::test_a_clock_that_is_wrong_halts_before_any_order"),
    Planted("keep one offset to New York all year", "signals/market/sessions.py",
            "return datetime.combine(self.day, clock_time, NEW_YORK).astimezone(UTC)",
            "return datetime.combine(self.day, clock_time, UTC) + timedelta(hours=5)",
            "tests/test_appliance/test_timetable.py::test_daylight_saving_keeps_new_york_time"),
    Planted("count sells as buying power before they fill", "execution/planning/pretrade.py",
            "return ZERO if lowers(intent, held)", "return -abs(intent.notional) if lowers(intent, held)",
            "tests/test_execution/test_pretrade.py::test_what_an_order_reserves"),
    Planted("accept an older bundle", "signals/bundle/verification.py", "if manifest.seq > seen.seq or (",
            "if manifest.seq > 0 or (", f"{ATTACKS}::test_a_replayed_bundle_is_refused_once_a_newer_one_has_run"),
    Planted("begin the ramp again with each retraining", "appliance/safety/ramp.py",
            "        same = same or _is_same(lineages, planned.get(day, PlanFigures()))\n", "",
            "tests/flow/test_limits.py"
            "::test_the_first_sessions_step_in_and_a_model_that_is_only_trained_anew_does_not_begin_again"),
    Planted("let an evaluation take a champion's place", "appliance/bundles/pull.py",
            "        _require_no_lesser(incoming / latest.folder, bundles, roles)\n", "",
            "tests/test_trainer/test_store_layout.py"
            "::test_an_old_store_in_which_an_evaluation_took_the_champion_s_place_demotes_no_device"),
    Planted("look at latest.json before the key set", "appliance/jobs/pull.py",
            "if refusal := pull_keyset(bundles, own):", "if refusal := \"\":",
            "tests/flow/test_revocation.py::test_a_revocation_arrives_even_where_no_bundle_can_be_pulled"),
    Planted("believe a dataset of any signer", "signals/bundle/dataset.py",
            "        require_signers(signers, keyset, today, place, of=keyset.data)\n", "",
            "tests/test_appliance/test_dataset_signatures.py"
            "::test_a_dataset_that_the_data_keys_did_not_sign_is_refused_in_one_sentence"),
    Planted("forget the newest version of a dataset", "appliance/jobs/pull.py", "    mark.advance(manifest)\n", "",
            "tests/flow/test_signed_data.py"
            "::test_a_replayed_older_version_is_not_taken_even_when_the_market_store_is_lost"),
    Planted("accept any signature", "signals/bundle/seal.py", "except InvalidSignature:\n            return False\n",
            "except InvalidSignature:\n            return True\n",
            f"{ATTACKS}::test_a_tampered_folder_is_refused_and_changes_nothing"),
    Planted("plan names that the broker does not confirm", "appliance/jobs/plan.py",
            "seen = broker_cross_check.without_disputed(seen, opinion.reasons)", "pass",
            "tests/flow/test_second_opinion.py::"
            "test_a_reverse_split_that_the_data_bring_a_day_late_costs_that_name_its_order_and_no_other"),
    Planted("compare a price with itself", "execution/planning/opinions.py", "distance = abs(ours / theirs - 1)",
            "distance = abs(ours / ours - 1)",
            "tests/flow/test_second_opinion.py::"
            "test_an_evening_at_a_tenth_of_the_price_is_refused_before_an_order_is_planned"),
    Planted("believe any equity since reconcile", "appliance/safety/broker_cross_check.py",
            "unexplained(agreed.cash, agreed.positions, reported.positions, reported.account.equity, believed, gap)", "0.0",
            "tests/flow/test_second_opinion.py::"
            "test_an_account_that_jumped_since_the_morning_s_reconcile_is_not_planned_for"),
    Planted("judge an auction order by its own plan", "appliance/orders/pretrade_context.py",
            "latest = None if prices is None else prices.latest(names)", "latest = None",
            f"{ORDERPATH}::test_an_auction_order_is_compared_with_the_broker_s_newest_price_and_not_with_its_own_plan"),
    Planted("begin each step at the rounded position", "execution/morning.py",
            "weights_held(followed(path, held), priced", "weights_held(held, priced",
            f"{ROUNDING}::test_after_twenty_sessions_the_book_is_as_near_to_its_target_as_whole_shares_allow"),
    Planted("stall a band short of the target", "portfolio/policy/step.py", "np.abs(gap) - size < self.band",
            "np.abs(gap) - size < 0", f"{ROUNDING}::"
            "test_after_twenty_sessions_the_book_is_as_near_to_its_target_as_whole_shares_allow"),
    Planted("follow a path whose orders did not fill", "execution/planning/rounding.py", "< max(ONE_SHARE, exact.share)",
            "< 10_000", f"{ROUNDING}::test_a_path_is_followed_while_it_is_less_than_a_share_from_what_is_held"),
    Planted("judge the first step of a ramp by its rounding", "execution/planning/plan.py",
            "_by_symbol(targets.symbols, targets.aim)", "_by_symbol(targets.symbols, targets.weights)",
            "tests/test_execution/test_planning.py::"
            "test_rounding_is_that_of_the_target_book_not_of_its_first_step"),
    Planted("measure a book without the broker's own prices", "execution/planning/plan.py",
            "return {**self.marks, **{symbol: price", "return {**{symbol: price",
            "tests/test_execution/test_planning.py::"
            "test_the_brokers_own_price_measures_a_holding_that_has_no_reference"),
    Planted("let any page of a browser in", "execution/exchange/doors/gate.py",
            "if not own.issuperset(origins) or not FROM_ELSEWHERE.isdisjoint(sites):", "if False:",
            "tests/test_execution/test_exchange_gate.py::test_no_page_of_a_browser_passes"),
    Planted("steer the simulation without its token", "execution/exchange/doors/gate.py",
            "return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.token.encode())", "return True",
            "tests/test_execution/test_exchange_gate.py::"
            "test_only_the_clock_of_the_simulation_is_told_without_its_token"),
    Planted("tell the stream of what was taken back", "execution/exchange/api/exchange.py",
            "self.venue.updates.cut(told)", "pass",
            "tests/test_execution/test_exchange_gate.py::"
            "test_a_request_that_fails_half_way_changes_nothing_and_the_next_one_is_served"),
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
    Planted("let what is flattened open a position", "appliance/setup/holdings.py",
            "            reduces=True,\n", "            reduces=False,\n",
            f"{USED}::test_what_is_flattened_is_closed_by_the_first_plan_with_orders_that_only_lower_it"),
    Planted("flatten into a plan that is frozen already", "appliance/setup/holdings.py",
            "    if plans.load(deps.ledger, session) is not None:\n", "    if False:\n",
            f"{USED}::test_what_is_flattened_is_closed_by_the_first_plan_with_orders_that_only_lower_it"),
    Planted("aim at a name that a person keeps", "appliance/jobs/plan.py",
            "snapshot, deps), _kept(deps))", "snapshot, deps), {})",
            f"{USED}::test_what_is_adopted_is_traded_to_target_through_the_ramp_and_what_is_kept_never"),
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
    Planted("hold what a judge sees of a return to 100 %", "signals/market/holding.py",
            "np.where(now, np.where(then, both, day - 1.0), back)",
            "np.clip(np.where(now, np.where(then, both, day - 1.0), back), -1.0, 1.0)",
            "tests/test_trainer/test_book.py::test_a_return_beyond_100_percent_counts_in_full_on_both_hosts"),
    Planted("let a ruined book go on", "portfolio/nav.py", "            if growth <= 0:\n", "            if False:\n",
            "tests/test_portfolio/test_nav.py::"
            "test_a_short_that_goes_from_twelve_cents_to_27_dollars_costs_322_percent_of_equity"),
    Planted("lever the sleeves with scores up to fill a missing one", "portfolio/policy/blend.py",
            "return _composed(tuple(replace(part, weight=part.weight / total) for part in parts), fixed_ic)",
            "return _composed(tuple(replace(part, weight=part.weight / (total - lost)) for part in parts), fixed_ic)",
            "tests/test_portfolio/test_blend.py::test_the_share_of_a_missing_sleeve_stays_unallocated_whatever_binds"),
    Planted("let the gross target fill what a missing sleeve would have held", "portfolio/policy/target.py",
            '"gross target": config.gross_target * allocated', '"gross target": config.gross_target',
            "tests/test_portfolio/test_blend.py::test_the_share_of_a_missing_sleeve_stays_unallocated_whatever_binds"),
    Planted("let a rehearsal fill what a missing sleeve would have held", "portfolio/policy/target.py",
            "config.rehearsal_gross * backing.allocated", "config.rehearsal_gross",
            "tests/test_portfolio/test_blend.py::test_a_rehearsal_leaves_a_missing_share_unallocated_too"),
    Planted("trade on less than half of the weight", "portfolio/policy/blend.py",
            "if not parts or lost > MOST_MISSING * total * (1 + ROUNDING):", "if not parts:",
            "tests/test_portfolio/test_blend.py::test_more_than_half_of_the_weight_missing_is_refused_and_half_is_not"),
    Planted("add sleeves without asking how long each holds", "portfolio/policy/blend.py",
            "ic / math.sqrt(part.horizon_sessions) for ic, part", "ic for ic, part",
            "tests/test_portfolio/test_blend.py::test_expected_returns_of_two_sleeves_by_hand"),
    Planted("expect of every sleeve over the risk model's sessions", "portfolio/policy/target.py",
            "ic * math.sqrt(h / part.horizon_sessions)", "ic",
            "tests/test_portfolio/test_blend.py::test_expected_returns_of_two_sleeves_by_hand"),
    Planted("bet on a sleeve without evidence next to one that has some", "portfolio/policy/blend.py",
            "0.0 if why else part.weight * ic for why, part", "part.weight * ic for why, part",
            "tests/test_portfolio/test_blend.py::test_a_sleeve_without_evidence_is_not_bet_on_and_fills_nothing"),
    Planted("size a book without asking its evidence", "portfolio/policy/target.py",
            "scalar = bounds[binding] * share", "scalar = bounds[binding]",
            "tests/test_portfolio/test_build.py::test_the_whole_book_is_multiplied_by_what_its_evidence_supports"),
    Planted("bet on evidence that nobody states", "portfolio/risk/evidence.py",
            "return 0.0 if t is None or t <= 1.0 else", "return 1.0 if t is None or t <= 1.0 else",
            "tests/test_portfolio/test_build.py::test_without_evidence_the_book_is_flat_and_says_why"),
    Planted("believe a spread under a tick", "execution/costs/spread.py",
            "max(known, tick_bps(price))", "known",
            "tests/test_execution/test_costs.py::"
            "test_a_spread_is_quoted_or_shown_or_assumed_and_never_under_a_tick"),
    Planted("charge every name the spread that its noise shows", "execution/costs/spread.py",
            "sure = square > SURE * error", "sure = square > 0",
            "tests/test_execution/test_costs.py::test_a_wide_spread_is_shown_by_the_bars_and_one_of_nothing_is_not"),
    Planted("lend a bankrupt at cents like a large name", "execution/costs/borrow.py",
            "np.isnan(price) | (price >= tier.min_price)", "np.isnan(price) | (price > 0)",
            "tests/test_appliance/test_real_nav.py::test_two_shorts_of_one_value_pay_by_their_own_liquidity"),
    Planted("credit a late dividend to what is held now", "appliance/jobs/session_value.py",
            "snapshots.find(deps.ledger, row.session, Phase.OPEN)", "snapshots.first(deps.ledger)",
            "tests/test_appliance/test_session_value.py::"
            "test_a_late_dividend_belongs_to_what_was_held_before_that_open"),
    Planted("carry no restatement forward", "appliance/jobs/session_value.py",
            "before.restated_nav + day + late", "before.real_nav + day + late",
            "tests/test_appliance/test_session_value.py::"
            "test_a_late_dividend_is_credited_to_the_long_and_debited_to_the_short_on_its_ex_date"),
    Planted("let a name stay in the universe at any price", "signals/market/eligibility.py",
            "(price >= rule.exit_price)", "(price >= 0)",
            "tests/test_signals/test_eligibility.py::test_a_name_enters_at_five_and_leaves_under_three"),
    Planted("rank by the last bit", "signals/features/ranking.py",
            "_ordered_bits(rounded(values))", "_ordered_bits(values)",
            "tests/test_trainer/test_later_actions.py::"
            "test_ranks_tie_values_that_agree_to_eighteen_bits_and_no_others"),
)  # fmt: skip
