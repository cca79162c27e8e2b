"""The same checks everywhere: before a commit, in GitHub Actions and in .ci/run."""

import ast
import re

import yaml


def test_actions_and_pre_commit_run_what_ci_runs(root):
    steps = re.findall(r"^make (\S+)$", (root / ".ci/run").read_text(), flags=re.MULTILINE)
    targets = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"lint", "docs", "test", "test-docs", "test-cluster", "demo"} <= set(steps) <= targets
    [repository] = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == [f"make {steps[0]}"]
    jobs = yaml.safe_load((root / ".github/workflows/ci.yml").read_text())["jobs"]
    assert [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step] == [".ci/run"]


def test_the_catalog_and_the_citation_can_be_read(root):
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] and usage["software-stack-deployment"]["conda"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    version = re.search(
        '"(.*)"', (root / "workflow/scripts/convexprune/__init__.py").read_text().splitlines()[-1]
    )[1]
    assert citation["version"] == version
    assert citation["references"][0]["title"] == "Convexity-based Pruning of Speech Representation Models"


def test_every_script_begins_its_log_before_anything_else(root):
    for path in (root / "workflow/scripts").glob("*.py"):
        [main] = [part for part in ast.parse(path.read_text()).body if isinstance(part, ast.FunctionDef)]
        assert ast.unparse(main.body[0]).startswith("provenance.start_log(smk.log[0]"), path


def test_every_rule_with_a_script_has_a_log_of_its_own_and_every_heavy_one_a_benchmark(root):
    for path in (root / "workflow/rules").glob("*.smk"):
        for body in re.split(r"^\s*(?:rule|checkpoint)[ :]", path.read_text(), flags=re.MULTILINE)[1:]:
            assert re.search(r'log:\s+f?"<results>/logs/', body), body
            network = "download_" in body.partition("input:")[0]
            if network or "localrule: True" not in body:
                assert re.search(r'benchmark:\s+"<results>/benchmarks/', body), body


def test_what_contributing_names_exists(root):
    text = (root / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([\w-]+)", text)) <= targets
    for path in re.findall(r"\]\((?!http)([^)#]+)", text) + re.findall(
        r"`((?:tests|workflow|docs)/[\w./]+)`", text
    ):
        assert (root / path).exists(), path


def test_links_of_the_readmes_lead_somewhere(root):
    for page in [root / "README.md", *root.glob("*/README.md")]:
        links = re.findall(r"[^!]\[[^]]*\]\((?!http|#)([^)#]+)", page.read_text())
        assert all((page.parent / link).exists() for link in links), page
