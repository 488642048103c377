from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from memberwise.attacks.registry import ATTACKS
from memberwise.report import html
from memberwise.report.sections.attacks import GROUPS, grouped, legend, needs_group
from memberwise.report.sections.records import png, worst_records
from memberwise.report.sections.registry import SECTIONS
from memberwise.report.sections.study import study_text

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, text, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.open, self.text, self.tables, self.cells = [], [], [], 0, []  # type: ignore[var-annotated]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: Any, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag, f"</{tag}> out of order"

    def handle_data(self, data: Any) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)
            if "td" in self.open:
                self.cells.append(data)

    @property
    def words(self) -> Any:
        return " ".join(" ".join(self.text).split())

    def of(self, tag: Any) -> list[Any]:
        return [attrs for name, attrs in self.tags if name == tag]


def _render(audit: Any) -> Any:
    return html.render(audit.parts, audit.scores, audit.curves)


@pytest.fixture
def page(whole: str) -> Page:
    return Page(whole)


@pytest.mark.slow
def test_the_page_is_well_formed_and_ids_are_unique(page: Any) -> None:
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    inner = {attrs["href"][1:] for attrs in page.of("a")}
    assert inner <= set(ids)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["audit", "bare", "hostile"])
def test_the_page_needs_nothing_and_runs_nothing(which: str, request: pytest.FixtureRequest) -> None:
    text = _render(request.getfixturevalue(which))
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"link", "iframe", "object", "embed", "base"}
    assert [attrs for attrs in page.of("script") if "src" in attrs] == []
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in page.of("img"))
    assert all(attrs["href"].startswith("#") for _, attrs in page.tags if "href" in attrs)
    assert not re.search(r"@import|url\((?!#)", text)
    policy = [attrs["content"] for attrs in page.of("meta") if attrs.get("http-equiv")]
    script = text.rsplit("<script>", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == [
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    ]
    if which != "hostile":
        assert "http" not in text.replace("http-equiv", "")


@pytest.mark.slow
def test_hostile_strings_are_shown_as_they_are(hostile: Any) -> None:
    text = _render(hostile)
    page = Page(text)
    assert page.open == []
    assert [attrs.get("type", "") for attrs in page.of("script")] == ["application/json", ""]
    assert "<script>alert" not in text
    assert page.words.count("<script>alert('x')</script> & \"quoted\"") > 30


def test_nothing_that_may_be_missing_is_needed(bare: Any) -> None:
    page = Page(_render(bare))
    assert page.open == []
    assert "No shadow models were trained" in page.words
    assert "No limit set" in page.words
    assert "There were none." in page.words
    assert "nan" not in page.words.lower()
    assert "None" not in page.words.replace("None are listed", "")


def test_marks_that_are_not_used_are_not_explained(bare: Any) -> None:
    assert [mark for mark, _ in legend(bare.parts)] == ["too few"]
    assert "optimistic" not in Page(_render(bare)).words


def test_scores_that_are_no_probabilities_are_marked(bare: Any) -> None:
    bare.result["attacks"][1]["calibrated"] = False
    assert [mark for mark, _ in legend(bare.parts)] == ["too few", "uncalibrated"]
    words = Page(_render(bare)).words
    assert "headline, uncalibrated" in words
    assert "its scores order records, but are no probabilities of membership; a warning" in words


def test_no_attacks_at_all_still_makes_a_page(bare: Any) -> None:
    bare.result["attacks"], bare.curves = [], {}
    assert "was not run" in Page(_render(bare)).words


@pytest.mark.slow
def test_every_part_is_there_and_in_order(page: Any) -> None:
    sections = [attrs["id"] for attrs in page.of("section")]
    assert sections == [
        "explorer",
        "attacks",
        "records",
        "roc",
        "scores",
        "accuracy",
        "parts",
        "attacker",
        "limits",
        "warnings",
        "study",
        "notes",
    ]
    for words in (
        "Inconclusive", "named before the run", "target beats its shadow models", "learning_rate = 0.05",
        "needs logits; the target answers probabilities", "do not speak about retraining", "female", "optimistic",
        "ab" * 32, "memberwise 0.1.0", "seed 1", "2026-03-04", "100.0%", "94.7% 5.3", "percentage points",
    ):  # fmt: skip
        assert words in page.words
    assert len([attrs for attrs in page.of("details") if attrs.get("class") == "record"]) == len(page.of("img")) == 12
    assert len(page.of("svg")) == 14


@pytest.mark.slow
def test_every_table_has_a_caption_and_every_picture_words(page: Any) -> None:
    assert len(page.of("table")) == len(page.of("caption"))
    assert all(attrs["aria-label"] for attrs in page.of("svg"))
    assert all(attrs["alt"] for attrs in page.of("img"))
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == 1


@pytest.mark.slow
def test_no_estimate_is_bare(whole: str, audit: Any) -> None:
    """Every figure has its interval beside it, and its n and method by a number at it or in its column's head."""
    table = whole.split('id="attacks"')[1].split("</table>")[0]
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table, flags=re.S)
    rows = re.findall(r"<tr[^>]* data-needs=.*?</tr>", table, flags=re.S)
    assert len(rows) == len(audit.result["attacks"])
    assert all('href="#note-' in head for head in heads[1:-1])
    for row in rows:
        cells = re.findall(r"<td data-value=[^>]*>(.*?)</td>", row)
        assert len(cells) == 7
        assert all(re.search(r"<small>[\d.]+\u2013[\d.]+%?</small>|too few", cell) for cell in cells)
    numbers = {int(number) for number in re.findall(r'href="#note-(\d+)"', whole)}
    notes = re.findall(r'<li id="note-(\d+)">(.*?)</li>', whole)
    assert numbers == {int(number) for number, _ in notes}
    assert all("members" in text or "Clopper" in text or text for _, text in notes)


def test_a_column_has_one_number_format(whole: str) -> None:
    table = whole.split('id="attacks"')[1].split("</table>")[0]
    rows = re.findall(r"<tr[^>]* data-needs=.*?</tr>", table, flags=re.S)
    shown = [re.findall(r"<td data-value=[^>]*>(?:<span[^>]*>weak</span> )?([\d.]+%?)", row) for row in rows]
    for column in zip(*shown, strict=True):
        assert len({len(text.rstrip("%").partition(".")[2]) for text in column}) == 1


def test_groups_begin_with_the_headline_then_by_needs(audit: Any) -> None:
    groups = grouped(audit.parts.attacks, audit.parts.headline)
    assert [one.name for one in groups[0].attacks] == ["lira-online-fixed", "gap"]
    assert {one.name: [attack.name for attack in one.attacks] for one in groups[1:]} == {
        GROUPS[2]: ["rmia-online", "shokri"],
        GROUPS[3]: ["lira-offline"],
        GROUPS[4]: ["attack-p"],
        GROUPS[5]: ["loss", "confidence", "top-one-search"],
    }
    assert sum(len(one.attacks) for one in groups) == len(audit.parts.attacks)


def test_every_need_of_the_package_has_a_group() -> None:
    known = {needs_group(tuple(attack.needs.words())) for attack in ATTACKS.values()}
    assert known == set(GROUPS[1:])


@pytest.mark.parametrize("word", ["outsider", "other records", "others wrongly", "not a member"])
def test_members_and_non_members_have_one_name(whole: str, word: str) -> None:
    assert word not in whole


@pytest.mark.slow
def test_marks_of_resolution_are_shown(audit: Any) -> None:
    rows = audit.result["attacks"][7]["tpr_at_fpr"]
    rows[1]["resolvable"] = "weak"
    cells = Page(_render(audit)).cells
    assert cells.count("weak") == 2, "in the explorer's table and the attacks'"
    assert [mark for mark, _ in legend(audit.parts)] == ["weak", "too few", "optimistic"]
    stated = [row for row in audit.result["attacks"][7]["tpr_at_fpr"] if row["resolvable"] == "no"]
    assert cells.count("too few") == len(audit.result["attacks"]) + len(stated)


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(audit: Any) -> None:
    assert _render(audit) == _render(audit)


@pytest.mark.slow
def test_the_report_is_small_whatever_is_audited(large: Any) -> None:
    large.curves["worst.image"] = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    assert len(_render(large)) < 700_000


@pytest.mark.parametrize("shape", [(28, 28), (32, 20, 3)])
def test_a_thumbnail_holds_the_pixels(shape: Any) -> None:
    from matplotlib.image import imread

    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    address = png(image)
    read = imread(__import__("io").BytesIO(base64.b64decode(address.split(",")[1])))
    expected = image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
    np.testing.assert_array_equal(np.round(read[..., :3] * 255), expected)


def test_records_without_shadow_models_become_a_table(audit: Any) -> None:
    for key in ("worst.phi", "worst.phi_target", "worst.trained_on"):
        del audit.curves[key]
    page = Page(_render(audit))
    assert not [attrs for attrs in page.of("details") if attrs.get("class") == "record"]
    assert len(page.of("img")) == 12
    assert audit.result["records"]["worst"][0]["index"] == int(audit.curves["worst.index"][0])


@pytest.mark.slow
def test_the_plot_of_a_record_is_found_by_its_index(audit: Any) -> None:
    order = np.arange(12)[::-1]
    expected = [card.plot for card in worst_records(audit.parts, audit.curves)]
    for key in [key for key in audit.curves if key.startswith("worst.")]:
        audit.curves[key] = audit.curves[key][order]
    assert [card.plot for card in worst_records(audit.parts, audit.curves)] == expected


@pytest.mark.slow
def test_models_left_out_for_a_record_are_not_drawn(audit: Any) -> None:
    trained = audit.curves["worst.trained_on"][0]
    card = worst_records(audit.parts, audit.curves)[0]
    assert f"IN ({(trained == 1).sum()})" in card.plot  # type: ignore[operator]
    assert f"OUT ({(trained == 0).sum()})" in card.plot  # type: ignore[operator]
    assert (trained == -1).sum() == 2


@pytest.mark.slow
def test_records_that_are_not_evaluated_are_not_drawn(audit: Any) -> None:
    kept = audit.scores["evaluated"] == 1
    drawn = kept & audit.scores["lira-online-fixed"].notna() & (audit.scores["member"] == 1)
    assert f"members ({drawn.sum():,})" in _render(audit)
    assert not kept.all()


@pytest.mark.slow
def test_many_classes_scroll_and_few_do_not(audit: Any) -> None:
    assert 'class="scroll tall"' not in _render(audit)
    audit.result["records"]["per_class"] *= 3
    assert _render(audit).count('class="scroll tall"') == 1


def test_the_study_is_toml_that_reads_back(audit: Any, hostile: Any) -> None:
    import tomllib

    study = audit.result["study"] | {"answer": [{"name": "round", "digits": 2}], "long": ["a, b]" * 9, "c" * 60]}
    back = tomllib.loads(study_text(study | {"plan": {"stack": None}, "nothing": None}))
    assert back == {**study, "data": {key: value for key, value in study["data"].items() if value is not None}}
    assert "hidden = [200, 200]" in study_text(study)
    assert tomllib.loads(study_text(hostile.parts.study))


def test_sections_have_ids_of_their_own() -> None:
    ids = [section.id for section in SECTIONS]
    assert len(set(ids)) == len(ids)


def test_report_of_several_labels_says_what_accuracy_is(audit: Any) -> None:
    assert "AUROC" not in _render(audit)
    audit.result["target"]["test_auroc"] = 0.7404
    page = _render(audit)
    assert "Accuracy is the mean over the labels of a record" in page
    assert "<td>0.740</td>" in page
    assert "By set of labels" in page
