"""The one table of states: what it promises, for every state and trigger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidState
from engine.lifecycle import ACTIVE, TRANSITIONS, Command, Report, State, advance, allowed, diagram


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {to for row in TRANSITIONS.values() for trigger, to in row.items() if isinstance(trigger, Report)}
    assert reached == set(State)


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_an_active_domain_can_always_be_destroyed_and_always_stop(state: State) -> None:
    assert advance(state, Command.DESTROY) is State.SHUTOFF
    assert advance(state, Report.STOPPED) is State.SHUTOFF
    assert Command.START not in allowed(state)


def test_an_impossible_command_says_what_would_be_possible() -> None:
    with pytest.raises(InvalidState) as caught:
        advance(State.SHUTOFF, Command.SUSPEND, domain="web")
    assert caught.value.allowed == ("define", "undefine", "start", "restore", "autostart")
    assert str(caught.value) == (
        "domain 'web' is shut off: can't suspend it (possible now: define, undefine, start, restore, autostart)"
    )


@given(st.sampled_from(State), st.sampled_from([*Command, *Report]))
def test_advance_agrees_with_the_table(state: State, trigger: Command | Report) -> None:
    if trigger in TRANSITIONS[state]:
        assert advance(state, trigger) is TRANSITIONS[state][trigger]
    else:
        with pytest.raises(InvalidState):
            advance(state, trigger)


@given(st.lists(st.sampled_from(list(Report)), max_size=60))
def test_no_run_of_reports_leads_out_of_the_table(reports: list[Report]) -> None:
    state = State.NOSTATE
    for report in reports:
        state = TRANSITIONS[state].get(report, state)
        assert state in TRANSITIONS


def test_the_diagram_names_every_state_and_only_true_arrows() -> None:
    text = diagram()
    names = {state.name.lower(): state for state in State}
    arrows = [line.split() for line in text.splitlines() if "-->" in line]
    assert arrows
    for source, _, target, *_ in arrows:
        assert names[target] in TRANSITIONS[names[source]].values()
    assert all(f'"{state.value}"' in text for state in State)
