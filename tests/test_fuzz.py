"""A short share of the fuzzer, and what it has found before."""

import pytest
from fuzz import try_input
from hypothesis import HealthCheck, Phase, given, settings
from mutants import Input, inputs
from specimens import SAMPLES

from lnbench.errors import ExitCode

SUITE = "name: a\nimplementations: [{use: group_norm, options: {groups: GROUPS}}]\nworkloads: [{shapes: [[8, 16]]}]\n"


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,  # the same share every time: what is new is for the long command to find
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(inputs)
def test_mutated_input_ends_with_a_documented_code_and_no_traceback(given_input):
    assert try_input(given_input).code != ExitCode.BUG


@pytest.mark.parametrize("groups", ["1099511627776", "9223372036854775807", "0"])
def test_more_groups_than_a_journal_can_hold_are_refused_with_the_suite(groups):
    files = {"mine.yaml": SUITE.replace("GROUPS", groups).encode()}

    outcome = try_input(Input(("run", "mine.yaml", "--dry-run"), files))

    assert outcome.code == ExitCode.USAGE
    assert "options.groups: must be at " in outcome.shown


@pytest.mark.parametrize("word", ["n" * 5000, "nul\x00", "\ud800", ".."])
@pytest.mark.parametrize("command", [("report",), ("list", "cases"), ("run", "--dry-run"), ("baseline",)])
def test_a_name_that_no_file_can_have_is_one_message(command, word):
    outcome = try_input(Input((*command, word)))

    assert outcome.code == ExitCode.USAGE
    assert outcome.shown.startswith("error: ")


def test_a_run_beside_whose_id_is_no_text_does_not_hide_the_others():
    sample = (SAMPLES / "schema-4.jsonl").read_bytes()

    outcome = try_input(
        Input(("report", "latest"), {"reports/good/run.jsonl": sample, "reports/odd/run.jsonl": b'{"created": 5}\n'})
    )

    assert outcome.code == ExitCode.FINE
