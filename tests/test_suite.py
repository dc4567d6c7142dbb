"""Reading a suite: what is taken, and for each kind of mistake the one message that a person sees."""

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lnbench.errors import SuiteError, UsageError
from lnbench.suite import check_devices, check_sampling, read_suite, suite_schema
from lnbench.suite_text import MAX_CHARACTERS, read_yaml

SUITE = """\
name: trial
description: Does it read?
reference: fused
implementations: [eager, fused, {use: group_norm, as: gn32, options: {groups: 32}}]
workloads:
  - shapes: [[8, 128, 768], {shape: [32, 512], label: tiny}]
    dtypes: [float32, bfloat16]
    devices: [cpu, cuda]
    eps: 1e-5
    thresholds: {eager: 0.1}
    exclude: [{input_shape: [32, 512], dtype: bfloat16}]
sampling: {processes: 1, precision: 0.01, budget_s: 5}
"""

MISTAKES = [
    # what is written, what it is written instead of, the message after "s.yaml:", the beginning of the hint
    (
        "bf16, float32",
        "float32, bfloat16",
        '7: workloads[0].dtypes[0]: unknown dtype "bf16"',
        'did you mean "bfloat16"?',
    ),
    ("float32, 16", "float32, bfloat16", "7: workloads[0].dtypes[1]: unknown dtype 16", "known: bfloat16, float16"),
    ("dtype: ", "dtypes: ", '7: workloads[0].dtype: unknown key "dtype"', 'did you mean "dtypes"?'),
    ("workload:", "workloads:", '5: workload: unknown key "workload"', 'did you mean "workloads"?'),
    ("dtypes: float32\n    eps: 2", "eps: 1e-5", '9: key "dtypes" stands twice, first on line 7', "keep one of them"),
    ("float32, float32", "float32, bfloat16", '7: workloads[0].dtypes[1]: "float32" stands twice in the list', "keep"),
    ("dtypes: []", "dtypes: [float32, bfloat16]", "7: workloads[0].dtypes: must have at least 1 item", ""),
    ("gpu]", "cuda]", '8: workloads[0].devices[1]: unknown device "gpu"', 'did you mean "cuda"?'),
    ("[8, 0, 768]", "[8, 128, 768]", "6: workloads[0].shapes[0][1]: must be greater than or equal to 1, found 0", ""),
    ("[768]", "[8, 128, 768]", "6: workloads[0].shapes[0]: must have at least 2 items", ""),
    ("[8, 1.5]", "[8, 128, 768]", "6: workloads[0].shapes[0][1]: must be a whole number, found 1.5", ""),
    ("[8, true]", "[8, 128, 768]", "6: workloads[0].shapes[0][1]: must be a whole number, found true", ""),
    ("shape: 32", "shape: [32, 512]", "6: workloads[0].shapes[1].shape: must be a list, found 32", ""),
    ("[999999, 99999999]", "[32, 512]", "6: workloads[0].shapes[1].shape: 999999x99999999 has more than", ""),
    ('"a\\e[1m"', "tiny", '6: workloads[0].shapes[1].label: must be printable on one line, found "a\\x1b[1m"', ""),
    ("eps: -1e-5", "eps: 1e-5", "9: workloads[0].eps: must be greater than 0, found -1e-05", ""),
    ("eps: .nan", "eps: 1e-5", "9: workloads[0].eps: must be a finite number, found nan", ""),
    ("layouts: nhwc", "eps: 1e-5", '9: workloads[0].layouts: unknown layout "nhwc"', 'did you mean "channels_last"?'),
    ("layouts: [expanded]", "eps: 1e-5", '9: workloads[0].layouts[0]: unknown layout "expanded"', "did you mean"),
    ("gradients: dx", "eps: 1e-5", '9: workloads[0].gradients: unknown gradients "dx"', 'did you mean "x"?'),
    ("gradient: x", "eps: 1e-5", '9: workloads[0].gradient: unknown key "gradient"', 'did you mean "gradients"?'),
    ("autocast: bf16", "eps: 1e-5", '9: workloads[0].autocast: unknown autocast "bf16"', 'did you mean "bfloat16"?'),
    ("autocast: float64", "eps: 1e-5", '9: workloads[0].autocast: unknown autocast "float64"', ""),
    ("clocks: graphs", "eps: 1e-5", '9: workloads[0].clocks: unknown clock "graphs"', 'did you mean "graph"?'),
    ("eps: small", "eps: 1e-5", '9: workloads[0].eps: must be a number, found "small"', ""),
    ("eager: 3}", "eager: 0.1}", "10: workloads[0].thresholds.eager: must be less than or equal to 1, found 3", ""),
    (
        "dtypes: float32}",
        "dtype: bfloat16}",
        '11: workloads[0].exclude[0].dtypes: unknown key "dtypes"',
        "did you mean",
    ),
    ("phase: backward, function: x", "dtype: bfloat16", "11: workloads[0].exclude[0]: a phase is left out for all", ""),
    ("[{}]", "[{input_shape: [32, 512], dtype: bfloat16}]", "11: workloads[0].exclude[0]: an empty map would", "name"),
    ("name: false", "name: trial", "1: name: must be text, found false", "put it in quotes"),
    ("name: a/../b", "name: trial", '1: name: "a/../b" is not a name', "write letters"),
    ("", "name: trial", '2: "name" is missing', ""),
    ("reference:", "reference: fused", "3: reference: must be text, found nothing", "put it in quotes"),
    ("as: eager", "as: gn32", '4: implementations[2]: "eager" is named twice, first as implementations[0]', "give one"),
    ("{groups: [1]}", "{groups: 32}", "4: implementations[2].options.groups: an option is a finite number", ""),
    (
        "",
        "implementations: [eager, fused, {use: group_norm, as: gn32, options: {groups: 32}}]",
        "6: workloads[0]: no",
        "",
    ),
    ("precision: 1e999", "precision: 0.01", "12: sampling.precision: must be a finite number, found inf", ""),
    ("processes: 0", "processes: 1", "12: sampling.processes: must be greater than or equal to 1, found 0", ""),
    ("!!python/name:os.system a", "trial", '1: tag "tag:yaml.org,2002:python/name:os.system" is not read', "leave"),
    ("sampling: [", "sampling: {", "12: this is not YAML: ", "look at the indentation"),
]


@pytest.mark.parametrize(("written", "instead_of", "message", "hint"), MISTAKES)
def test_a_mistake_is_one_message_with_file_line_path_and_a_hint(written, instead_of, message, hint):
    assert instead_of in SUITE
    text = SUITE.replace(instead_of, written, 1)

    with pytest.raises(SuiteError) as caught:
        read_suite(text, source="s.yaml")

    assert caught.value.message.startswith(f"s.yaml:{message}")
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml:1: the file is empty"),
        ("# nothing but this", "s.yaml:1: the file is empty"),
        ("[eager]", "s.yaml:1: must be a map, found a list"),
        ("eager", 's.yaml:1: must be a map, found "eager"'),
        ("1: eager", "s.yaml:1: a key must be text"),
        ("a: b\n--- \nc: d", "s.yaml:2: this is not YAML: "),
        ("a: \x00", "s.yaml:1: this is not YAML text"),
        ("a: \ud800", "s.yaml:1: this is not YAML text"),
        ("a: 0b_", 's.yaml:1: "0b_" is not a number'),
        ("a: 99999999999999999999", "s.yaml:1: a number this large"),
        ("a: " + "b" * 5000, "s.yaml:1: a single value of more than"),
        ("a: " + "[" * 100_000, "s.yaml:1: lists and maps nest deeper than"),
        ("a: &a [*a]", "s.yaml:1: aliases make the file grow too large"),
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)),
            "s.yaml:1: aliases make the file grow too large",
        ),
        ("#" * (MAX_CHARACTERS + 1), "s.yaml:1: the file has 1048577 characters"),
    ],
)
def test_what_is_no_suite_at_all_is_refused_with_its_line(text, message):
    with pytest.raises(SuiteError) as caught:
        read_suite(text, source="s.yaml")

    assert caught.value.message.startswith(message)


def test_the_mistake_that_stands_first_in_the_file_is_the_one_told():
    text = SUITE.replace("budget_s: 5", "budget_s: 0").replace("bfloat16]", "bf16]")

    with pytest.raises(SuiteError, match=r"s\.yaml:7: "):
        read_suite(text, source="s.yaml")


def test_one_value_reads_like_a_list_of_one():
    text = SUITE.replace("[[8, 128, 768], {shape: [32, 512], label: tiny}]", "[8, 128, 768]")
    text = text.replace("[cpu, cuda]", "cpu").replace("[float32, bfloat16]", "float32")

    entry = read_suite(text, source="s.yaml").workloads[0]

    assert [item.shape for item in entry.shapes] == [(8, 128, 768)]
    assert (entry.dtypes, entry.devices, entry.eps) == (("float32",), ("cpu",), (1e-5,))


def test_what_is_left_out_has_the_documented_defaults():
    suite = read_suite("{name: a, implementations: eager, workloads: [{shapes: [2, 3]}]}", source="s.yaml")

    entry = suite.workloads[0]
    assert (entry.norm_dims, entry.param_dtypes, entry.threads, entry.devices) == ((1,), (), (), ("cpu",))
    assert (entry.cache, entry.allocators, entry.layouts, entry.affine) == (
        ("hot",),
        ("retained",),
        ("contiguous",),
        ("both",),
    )
    assert (entry.eps, entry.norm_modes, len(entry.phases)) == ((1e-5,), ("train",), 4)
    assert (suite.sampling.processes, suite.sampling.precision, suite.sampling.budget_s) == (3, 0.01, 5.0)


@pytest.mark.parametrize("number", ["1e-5", "1E-5", "+1e-5", "1.e-5", "0.00001", "1.0e-5"])
def test_every_way_to_write_a_small_number_is_a_number(number):
    suite = read_suite(SUITE.replace("1e-5", number), source="s.yaml")

    assert suite.workloads[0].eps == (1e-5,)


@pytest.mark.parametrize("number", [".5e3", "+5.e2", "0o764", "500", "1_000", "0x1f4"])
def test_numbers_are_read_as_people_write_them(number):
    value = read_yaml(f"a: {number}", source="s.yaml").value["a"]

    assert value == (1000 if number == "1_000" else 500)


@pytest.mark.parametrize(
    ("written", "meanings", "hint"),
    [
        ("yes", "true to YAML 1.1 and text to YAML 1.2", 'write true, or "yes" in quotes if it is text'),
        ("Off", "false to YAML 1.1 and text to YAML 1.2", 'write false, or "Off" in quotes if it is text'),
        ("NO", "false to YAML 1.1 and text to YAML 1.2", 'write false, or "NO" in quotes if it is text'),
        ("010", "8 to YAML 1.1 and 10 to YAML 1.2", 'write 8 or 10, or "010" in quotes if it is text'),
        ("-0777", "-511 to YAML 1.1 and -777 to YAML 1.2", "write -511 or -777, or"),
        ("1:30", "90 to YAML 1.1 and text to YAML 1.2", 'write 90, or "1:30" in quotes if it is text'),
        ("1:30:00.5", "5400.5 to YAML 1.1 and text to YAML 1.2", "write 5400.5, or"),
    ],
)
@pytest.mark.parametrize(
    ("place", "line"),
    [("    threads: {}\n    eps: 1e-5", 9), ("    eps: {}", 9), ("    eps: [{}]", 9), ("    {}: 1", 9)],
    ids=["a count", "a number", "in a list", "a key"],
)
def test_what_old_and_new_yaml_read_differently_is_refused(written, meanings, hint, place, line):
    text = SUITE.replace("    eps: 1e-5", place.format(written))

    with pytest.raises(SuiteError) as caught:
        read_suite(text, source="s.yaml")

    assert caught.value.message == f's.yaml:{line}: "{written}" means {meanings}'
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'yes'", "yes"),
        ('"010"', "010"),
        ("'1:30'", "1:30"),
        ("False", False),
        ("007", 7),
        ("cuda:0", "cuda:0"),
        ("y", "y"),
    ],
)
def test_what_can_be_read_in_one_way_only_is_read(written, value):
    assert read_yaml(f"a: {written}", source="s.yaml").value == {"a": value}


def test_aliases_within_bounds_are_read():
    text = SUITE.replace("[float32, bfloat16]", "&both [float32, bfloat16]").replace(
        "eps:", "param_dtypes: *both\n    eps:"
    )

    entry = read_suite(text, source="s.yaml").workloads[0]

    assert entry.param_dtypes == entry.dtypes


def test_a_suite_knows_where_its_parts_stand():
    suite = read_suite(SUITE, source="s.yaml")

    assert suite.place("workloads", 0, "shapes", 1) == "s.yaml:6: workloads[0].shapes[1]"
    assert suite.place("implementations", 2, "use") == "s.yaml:4: implementations[2].use"
    assert suite.place("workloads", 0, "reference") == "s.yaml:6: workloads[0]"


def test_thresholds_and_exclusions_are_kept():
    entry = read_suite(SUITE, source="s.yaml").workloads[0]

    assert entry.thresholds == {"eager": 0.1}
    assert entry.exclude[0].patterns == {"dtype": ("bfloat16",), "input_shape": ("32x512",)}


def test_command_line_values_are_held_to_the_bounds_of_a_suite():
    with pytest.raises(UsageError, match="--budget: must be greater than 0, found -1"):
        check_sampling(processes=3, precision=0.01, budget_s=-1.0)
    with pytest.raises(UsageError, match='--device: unknown device "cuda:x"') as caught:
        check_devices(["cpu", "cuda:x"])

    assert caught.value.hint.startswith('did you mean "cuda')


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
@example("<<: {a: b}")
@example("a: !!binary x")
@example("a: 2024-01-01\n? {b: c}\n: d")
def test_arbitrary_text_never_raises_anything_but_a_suite_error(text):
    message = _refusal(text)

    assert message is None or message.startswith("s.yaml:")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.integers(0, len(SUITE)),
    length=st.integers(0, 20),
    put=st.text(max_size=4) | st.sampled_from(["[", "]", "{", "}", ": ", "\n  ", "- ", "*a", "&a ", "!!int ", "1e-5"]),
)
def test_a_mutated_suite_never_raises_anything_but_a_suite_error(start, length, put):
    text = SUITE[:start] + put + SUITE[start + length :]

    message = _refusal(text)

    assert message is None or message.startswith("s.yaml:")


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1000) | st.floats() | st.sampled_from(["eager", "float32", "8x*", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["shape", "use", "eps"]), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["name", "reference", "implementations", "workloads", "sampling", "thresholds", "exclude"]), _PLAIN
)
def test_any_value_in_any_place_is_read_or_refused_in_one_message(key, value):
    suite = {"name": "a", "implementations": ["eager"], "workloads": [{"shapes": [[2, 3]]}], key: value}

    message = _refusal(yaml.safe_dump(suite, default_flow_style=True, width=10**6))

    assert message is None or message.startswith("s.yaml:1: ")


def test_the_schema_accepts_what_is_read_and_refuses_a_typo():
    schema = suite_schema()
    suite = read_yaml(SUITE, source="s.yaml").value
    typo = read_yaml(SUITE.replace("dtypes:", "dtype:"), source="s.yaml").value

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(suite, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(typo, schema)


def test_every_key_in_the_schema_that_a_person_fills_in_is_described():
    schema = suite_schema()

    for model in (schema, schema["$defs"]["WorkloadEntry"], schema["$defs"]["Sampling"]):
        assert [key for key, value in model["properties"].items() if not value.get("description")] == []


def _refusal(text):
    """The message with which a suite is refused; None where it is read."""
    try:
        read_suite(text, source="s.yaml")
    except SuiteError as error:
        return error.message
    return None
