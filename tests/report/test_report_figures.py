from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from memberwise.report import figures
from memberwise.report.in_out import in_out

NAMES = ["gap", "loss", "confidence", "top-one-search", "shokri", "attack-p", "lira-offline", "lira-online-fixed"]


def _texts(svg: Any) -> list[Any]:
    return [element.text for element in ET.fromstring(svg).iter() if element.tag == "text"]


@pytest.fixture
def roc(audit: Any) -> Any:
    return figures.roc(audit.curves, "lira-online-fixed", [*NAMES, "rmia-online"], 1500)


def test_the_roc_draws_the_headline_the_gap_and_four_more(roc: Any) -> None:
    texts = _texts(roc)
    assert {"guessing", "lira-online-fixed", "gap", "loss", "rmia-online", "shokri", "attack-p"} <= set(texts)
    assert "confidence" not in texts
    # Every line is drawn twice, on the axes and in the legend; the gap has a marker instead of a line.
    for colour in ("--c1", "--c2", "--c3", "--c4", "--c5"):
        assert len(re.findall(rf'"fill: none;[^"]* stroke: var\({colour}', roc)) == 2
    assert not re.search(r'"fill: none;[^"]* stroke: var\(--c6', roc)
    assert "opacity: 0.16" in roc


def test_main_attacks_are_at_most_six_with_headline_first() -> None:
    assert figures.main_attacks("entropy", ["loss", "gap", "entropy", "l2"]) == ["entropy", "gap", "loss", "l2"]
    assert len(figures.main_attacks("confidence", NAMES)) == 6
    assert figures.main_attacks("shokri", ["loss"]) == ["loss"]


def test_the_roc_starts_where_the_records_can_tell() -> None:
    curves = {"loss.fpr": np.array([0, 0, 0.5, 1]), "loss.tpr": np.array([0, 0.3, 0.7, 1])}
    assert "0.1%" not in _texts(figures.roc(curves, "loss", ["loss"], 100))
    assert "0.1%" in _texts(figures.roc(curves, "loss", ["loss"], 1000))
    assert figures.roc({}, "loss", ["loss"], 100) is None


def test_curve_begins_with_what_no_false_accusation_reaches() -> None:
    fpr, tpr = np.array([0, 0, 0, 0.02, 1]), np.array([0, 0.1, 0.2, 0.3, 1])
    x, y = figures.drawable(fpr, tpr, 0.01)
    np.testing.assert_allclose(x, [0.01, 0.02, 1])
    np.testing.assert_allclose(y, [0.2, 0.3, 1])
    x, y = figures.drawable(fpr[[0, 3, 4]], tpr[[0, 3, 4]], 0.01)
    np.testing.assert_allclose(x, [0.02, 1])  # (0, 0) has no place on logarithmic axes


def test_the_gap_is_left_out_where_it_calls_everybody_a_member() -> None:
    curves = {"gap.fpr": np.array([0.0, 1.0]), "gap.tpr": np.array([0.0, 1.0])}
    assert "gap" not in _texts(figures.roc(curves, "gap", ["gap"], 100))


def test_drawn_once_it_is_what_savefig_draws(audit: Any, roc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which draws everything twice."""

    def by_savefig(canvas: Any, buffer: Any, metadata: Any) -> None:
        monkeypatch.undo()
        called.append(True)
        canvas.figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)

    called: list[bool] = []
    monkeypatch.setattr("matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", by_savefig)
    assert figures.roc(audit.curves, "lira-online-fixed", [*NAMES, "rmia-online"], 1500) == roc
    assert called


@pytest.mark.parametrize(("length", "columns"), [(6, 3), (20, 2), (45, 1), (300, 1)])
def test_a_legend_is_no_wider_than_its_figure(length: int, columns: int) -> None:
    with figures.drawing("wide", 6.0, 4.2) as figure:
        axes = figure.add_subplot()
        for letter in "abcd":
            axes.plot([0, 1], label=letter * length)
        figures.add_legend(figure, 3, loc="outside lower center")
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        texts = legend.get_texts()
        assert len({round(text.get_window_extent().x0) for text in texts}) == columns
        assert [text.get_text()[0] for text in texts] == [text.get_text()[-1] for text in texts] == [*"abcd"]


def test_the_histogram_holds_both_sides_and_gathers_outliers() -> None:
    rng = np.random.default_rng(1)
    members, others = rng.normal(1, 1, 2000), rng.normal(0, 1, 1990)
    members[:3], others[:2] = [1e9, np.inf, np.nan], [-1e9, -np.inf]
    texts = _texts(figures.histogram(members, others, "loss"))
    assert "members (1,999)" in texts
    assert "non-members (1,990)" in texts
    assert "\u22122" in texts  # the axis still shows where nearly all scores are
    low, high = np.quantile(
        np.concatenate([members, others])[np.isfinite(np.concatenate([members, others]))], [0.005, 0.995]
    )
    both = np.concatenate([members, others])
    assert figures.beyond(both) == ((both < low) | (both > high)).sum() > 4


def test_the_histogram_bears_constant_and_missing_scores() -> None:
    assert figures.histogram(np.ones(5), np.ones(4), "gap") is not None
    assert figures.beyond(np.ones(9)) == 0
    assert figures.histogram(np.full(5, np.nan), np.ones(4), "gap") is None
    assert figures.histogram(np.array([np.inf]), np.array([-np.inf]), "gap") is None
    assert figures.beyond(np.array([np.nan, np.inf])) == 0


def test_the_in_out_plot_counts_models_and_marks_the_target() -> None:
    rng = np.random.default_rng(2)
    svg = in_out(rng.normal(4, 1, 31), rng.normal(0, 1, 32), 4.5, 'Record 3, labelled "<b>"')
    assert {"IN (31)", "OUT (32)"} <= set(_texts(svg))
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label").startswith('Record 3, labelled "<b>": scaled logits of 31 models')  # type: ignore[union-attr]
    heights = {
        colour: [float(tall) for tall in re.findall(rf'height="([\d.]+)" fill="var\(--{colour}\)"', svg)]
        for colour in ("c1", "c2")
    }
    assert all(max(tall) == 52 for tall in heights.values())
    assert 'stroke="var(--ink)"' in svg


@pytest.mark.parametrize("target", [np.nan, np.inf, 2.0])
def test_the_in_out_plot_bears_empty_sides_and_infinite_values(target: Any) -> None:
    svg = in_out(np.array([]), np.array([np.inf, 2.0]), target, "Record 3")
    assert ('stroke="var(--ink)"' in svg) == np.isfinite(target)


def test_same_input_gives_same_bytes_and_ids_do_not_clash(audit: Any, roc: Any) -> None:
    assert roc == figures.roc(audit.curves, "lira-online-fixed", [*NAMES, "rmia-online"], 1500)
    rng = np.random.default_rng(3)
    plots = [figures.histogram(rng.normal(1, 1, 31), rng.normal(0, 1, 32), "loss")]
    ids = [re.findall(r'\bid="([^"]+)"', str(svg)) for svg in [*plots, roc]]
    assert all(ids)
    assert len({name for found in ids for name in found}) == sum(map(len, ids))
    for svg, found in zip([*map(str, plots), roc], ids, strict=True):
        assert {*re.findall(r"url\(#([^)]+)\)", svg), *re.findall(r'href="#([^"]+)"', svg)} == set(found)


def test_figure_has_no_size_no_colour_and_no_address(roc: Any) -> None:
    assert re.match(r'<svg viewBox="0 0 \d', roc)
    assert "http" not in roc
    assert not re.search(r"(?<!, )#[0-9a-f]{6}\b", roc)  # only as what a variable falls back to
    assert "<style" not in roc


def test_a_name_is_text_and_never_markup() -> None:
    name = "<script>$x^2$</script>"
    curves = {f"{name}.fpr": np.array([0, 0.5, 1]), f"{name}.tpr": np.array([0, 0.7, 1])}
    svg = figures.roc(curves, name, [name], 100)
    assert "<script" not in svg  # type: ignore[operator]
    assert name in _texts(svg)
