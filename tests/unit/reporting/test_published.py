"""On another corpus than Aff-Wild2 the paper's values have no place beside ours."""

import numpy as np
import pytest

from stages.reporting.charts import Estimate, Figure
from stages.reporting.published import figures_without, is_affwild2, tables_without
from stages.reporting.results import Printed


@pytest.mark.parametrize(
    ("corpus", "is_it"),
    [
        ("data/affwild2", True),
        ("/mnt/Aff-Wild2/v6", True),
        ("aff_wild2", True),
        ("data/sample/corpus", False),
        ("data/mine", False),
    ],
)
def test_the_corpus_is_known_by_its_folder(corpus: str, is_it: bool) -> None:
    assert is_affwild2(corpus) is is_it


def test_columns_rows_and_tables_of_the_paper_go() -> None:
    both = Printed(
        "T",
        ["model", "mean", "paper mean"],
        [False, True, True],
        [["a", "0.5", "0.6"], ["b", "—", "0.7"]],
        ["n"],
    )
    theirs = Printed("U", ["team", "ours", "paper mean"], [False, False, True], [["x", "—", "0.6"]], [])
    [own] = tables_without([both, theirs])
    assert (own.columns, own.numeric, own.rows, own.notes) == (
        ["model", "mean"],
        [False, True],
        [["a", "0.5"]],
        ["n"],
    )


def test_marks_of_the_paper_go() -> None:
    [figure] = figures_without([Figure("a", (Estimate(0.5),), 0.6)])
    assert np.isnan(figure.published)
    assert figure.estimates[0].value == 0.5
