"""The registry of criteria, and the page that shows it."""

from convexprune.criteria import registry, scoring


def test_every_criterion_is_measured_but_the_convexities_of_graphs():
    criteria = registry.CRITERIA
    assert len(criteria) == 18 and sum(criterion.labels for criterion in criteria.values()) == 9
    assert set(scoring.MEASURES) == set(criteria) - {"graph convexity", "convexity across speakers"}
    assert all(name == name.lower() == criterion.name for name, criterion in criteria.items())


def test_the_page_of_criteria_shows_the_registry(root):
    page = (root / "docs/criteria.md").read_text(encoding="utf-8")
    rows = [
        f"| {it.name} | {'yes' if it.labels else 'no'} | {'higher' if it.sign > 0 else 'lower'} "
        f"| {it.meaning} | {it.source} |"
        for it in registry.CRITERIA.values()
    ]
    assert [line for line in page.splitlines() if line.startswith("| ")][1:] == rows
