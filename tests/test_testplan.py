"""The test plan names tests that are there, and its checker misses nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from stoic.sim.bench import codecover, cover, plan
from stoic.sim.bench.measure import Measured
from stoic.sim.bench.runner import Bench, run
from stoic.sim.exceptions import InputError, ToolError

PLAN = Path(__file__).parent / "testplan.toml"
FEATURE = plan.Feature("f", "stoic_x", ("bench_pipe.passes_every_word",), ("source.*",))
HITS: cover.Hits = {"stoic_x.source.gap": {"False": 3, "True": 1}}


def test_every_test_of_the_plan_is_there() -> None:
    assert plan.missing_tests(plan.read(PLAN), PLAN.parent.parent) == []


def test_every_bench_is_in_the_plan() -> None:
    named = {test for feature in plan.read(PLAN).features for test in feature.tests}
    benches = {test.partition(".")[0] for test in named}
    found = {path.stem for path in Path(plan.__file__).parent.glob("bench_*.py")}
    assert found - benches == set()


@pytest.mark.parametrize(
    "features, gaps, wrong",
    [
        ([], [], "stoic_x.source.gap: in no row"),
        ([replace(FEATURE, cover=("source.*", "sink.*"))], [], "no cover point sink.*"),
        ([FEATURE, replace(FEATURE, cover=())], [], "neither cover points nor why_no_cover"),
        ([replace(FEATURE, why_no_cover="why")], [], "cover points and why_no_cover"),
        ([FEATURE], [plan.Gap("stoic_x.source.gap", "True", "why")], "a gap in the plan only"),
    ],
)
def test_what_plan_and_run_do_not_agree_on_is_said(
    features: list[plan.Feature], gaps: list[plan.Gap], wrong: str
) -> None:
    [said] = plan.disagreements(plan.Plan(tuple(features), tuple(gaps)), HITS)
    assert wrong in said
    assert plan.disagreements(plan.Plan((FEATURE,), ()), HITS) == []


def test_a_bin_that_is_not_met_is_wrong_unless_explained() -> None:
    hits: cover.Hits = {"stoic_x.source.gap": {"False": 3, "True": 0}}
    gap = plan.Gap("stoic_x.source.gap", "True", "why")
    bare, explained = plan.Plan((FEATURE,), ()), plan.Plan((FEATURE,), (gap,))
    assert plan.disagreements(bare, hits) == ["stoic_x.source.gap: True is never met"]
    assert plan.disagreements(explained, hits) == []
    assert plan.summary(bare, Measured(hits, {}), [])["functional_coverage"] == 0.5
    assert plan.summary(explained, Measured(hits, {}), [])["functional_coverage"] == 1


def test_every_row_has_cover_points_or_says_why_not() -> None:
    rows = plan.read(PLAN).features
    assert [row.name for row in rows if bool(row.cover) == bool(row.why_no_cover)] == []
    explained = replace(FEATURE, cover=(), why_no_cover="why")
    assert plan.disagreements(plan.Plan((FEATURE, explained), ()), HITS) == []


def test_tests_that_are_not_there_are_wrong() -> None:
    tests = ("bench_pipe.no_such", "bench_none.test", "tests/test_testplan.py::no_such")
    features = (replace(FEATURE, tests=tests), replace(FEATURE, tests=()))
    assert len(plan.missing_tests(plan.Plan(features, ()), PLAN.parent.parent)) == 4


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("[[feature]]\nname = 'no unit'\n")
    with pytest.raises(InputError, match="not a test plan"):
        plan.read(path)


DAT = """\
# SystemC::Coverage-3
C '\1f\2rtl/stoic_x.v\1l\0025\1n\0023\1t\2line\1page\2v_line/stoic_x\1o\2block\1S\0025,7-8\1h\2x' 4
C '\1f\2rtl/stoic_x.v\1l\0026\1n\0023\1t\2branch\1page\2v_branch/stoic_x\1o\2if\1S\0026\1h\2x' {}
C '\1f\2rtl/stoic_x.v\1l\0026\1n\0024\1t\2branch\1page\2v_branch/stoic_x\1o\2else\1h\2x' 0
C '\1f\2rtl/stoic_x.v\1l\0022\1n\0029\1t\2toggle\1page\2v_toggle/stoic_x\1o\2q[0]:0->1\1h\2x' {}
"""


def test_lines_and_toggles_of_all_builds_count_once() -> None:
    code = codecover.parse(DAT.format(0, 7))
    assert code["stoic_x.v"].lines == {5: True, 7: True, 8: True, 6: False}
    assert codecover.totals(code) == {"line_coverage": 0.75, "toggle_coverage": 1}
    code["stoic_x.v"].add(codecover.parse(DAT.format(1, 0))["stoic_x.v"])
    assert codecover.totals(code) == {"line_coverage": 1, "toggle_coverage": 1}
    assert codecover.from_json(codecover.to_json(code)) == code


def test_sources_that_do_not_build_are_named(tmp_path: Path) -> None:
    source = tmp_path / "stoic_width.v"
    source.write_text("module stoic_width;\n    assign a = ;\nendmodule\n")
    with pytest.raises(ToolError, match="icarus does not build stoic_width .*: .*v:2: "):
        run(Bench("stoic_width", "bench_width", (source,)), tmp_path / "run", 1)
