"""Tables for papers: the whole text, its structure under hostile names, and a real LaTeX where there is one."""

import re
import shutil
import subprocess
from collections import Counter

import pytest
from fabricate import case, ended, everything, finished, noisy_turns, run, workload
from golden_files import expected
from hypothesis import given
from hypothesis import strategies as st

from lnbench.planned import Status
from lnbench.render.latex import render_tables
from lnbench.render.outside import latex
from lnbench.view import view_run

HOSTILE = r"[b]*\input{/etc/passwd}$x^2_y~&#%{}<|>`'\"--日\n" + "\x1b‮\n\\end{table}"
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs,graphicx}
\begin{document}
TABLES
\end{document}
"""


def rendered(made):
    """A run as LaTeX."""
    return render_tables(view_run(made))


def hostile_run():
    """A run in which every text from outside tries to be more than text, also at the start of a row."""
    cases = [case("fused"), case(HOSTILE), case("*star"), case("[2pt]"), case("failed")]
    events = [*noisy_turns({0: 1e-4, 1: 2e-4, 2: 3e-4, 3: 3e-4}), ended(4, Status.ERROR, HOSTILE), finished()]
    return run([workload(label=HOSTILE), workload()], cases, events, suite=HOSTILE, run_id=HOSTILE)


def without_comments(text):
    """The lines that LaTeX reads."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("%"))


def commands(text):
    """The commands of a LaTeX text, comments left out."""
    return set(re.findall(r"\\([a-zA-Z]+|.)", without_comments(text)))


def is_well_formed(text):
    """True when braces and environments close in order, and every row of a tabular has as many cells as its head."""
    text = without_comments(text)
    bare = re.sub(r"\\[{}&%]", "", text)
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            return False
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    tabulars = re.findall(r"\\toprule\n(.*?)\\bottomrule", bare, re.DOTALL)
    widths = [{line.count("&") for line in body.splitlines() if line.endswith(r"\\")} for body in tabulars]
    return depth == 0 and not opened and all(len(width) == 1 for width in widths)


def test_the_tables_are_as_expected():
    text = rendered(everything())

    assert text == expected("tables.tex", text)


def test_the_tables_are_well_formed_whatever_names_are():
    text = rendered(hostile_run())

    assert is_well_formed(rendered(everything()))
    assert is_well_formed(text)
    assert "input" not in commands(text)
    assert without_comments(text).count(r"\end{table}") == 1
    assert not re.search(r"\\\\\s*[*\[]", text)


def test_every_line_that_a_name_could_break_is_one_comment_or_text():
    first, second, *_ = rendered(hostile_run()).splitlines()

    assert first.startswith("% ")
    assert second.startswith("% Needs")


def test_the_fastest_is_bold_in_both_of_its_lines():
    made = run([workload()], [case("fused"), case("eager")], [*noisy_turns({0: 1e-4, 1: 3e-4}), finished()])

    text = rendered(made)

    assert text.count(r"\textbf{") == 8
    assert re.search(r"^fused & \\textbf\{9[01](\.\d)? \$\\pm\$\d\\,\\%\}", text, re.MULTILINE)


def test_a_table_names_its_unit_once_and_no_time_has_leading_zeros():
    made = run([workload()], [case("fused"), case("eager")], [*noisy_turns({0: 1.1e-6, 1: 3e-3}), finished()])

    text = rendered(made)

    assert text.count("time in ns") == 1
    assert not re.search(r"& (\\textbf\{)?0\.\d+ \$\\pm", text)


def test_labels_are_unique_and_of_plain_letters():
    workloads = [workload(), workload(dtype="float16"), workload((8, 128, 768))]
    workloads.append(workloads[0].model_copy(update={"id": "256x768 float32 cpu"}))
    text = rendered(run(workloads, [case("fused", of=number) for number in range(4)], []))

    labels = Counter(re.findall(r"\\label\{(.*?)\}", text))

    assert len(labels) == 4
    assert set(labels.values()) == {1}
    assert all(re.fullmatch(r"tab:lnbench-[a-z0-9-]+", label) for label in labels)


def test_an_interrupted_run_says_so_and_an_empty_one_is_a_comment():
    interrupted = run([workload()], [case("fused")], noisy_turns({0: 1e-4}))

    assert "The run was interrupted" in rendered(interrupted)
    assert all(line.startswith("%") for line in rendered(run([], [], [])).splitlines() if line)


@given(st.text())
def test_escaped_text_has_no_command_but_those_that_stand_for_letters(text):
    found = commands(f"x{latex(text)}")

    signs = {
        "textbackslash",
        "textasciicircum",
        "textasciitilde",
        "textless",
        "textgreater",
        "textbar",
        "textquotedblright",
    }
    known = {"allowbreak", "mu", "pm", "times", "rightarrow", "textendash", *"{}$&#%_"}
    assert found <= signs | known
    assert is_well_formed(latex(text))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex here")
@pytest.mark.parametrize("made", [everything(), hostile_run(), run([], [], [])], ids=["everything", "hostile", "empty"])
def test_a_real_latex_sets_the_tables_within_the_text(tmp_path, made):
    (tmp_path / "run.tex").write_text(DOCUMENT.replace("TABLES", rendered(made)))

    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "run.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")

    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
