"""The same checks everywhere: before a commit, in GitHub Actions and in .ci/run."""

import ast
import os
import re
import shutil
import subprocess
import tomllib

import convexprune
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


def test_actions_and_pre_commit_run_what_ci_runs(root):
    script = (root / ".ci/run").read_text(encoding="utf-8")
    [steps] = [line.split() for line in re.findall(r"^targets=\((.*)\)$", script, flags=re.MULTILINE)]
    targets = set(
        re.findall(r"^([\w-]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert {"lint", "docs", "test", "test-docs", "test-cluster", "demo"} <= set(steps) <= targets
    [repository] = yaml.safe_load((root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == [f"make {steps[0]}"]
    jobs = yaml.safe_load((root / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    for job in jobs:
        assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run ${{ matrix.target }}"]
    everything, newer = (job["strategy"]["matrix"] for job in jobs)
    assert everything == {"target": steps} and newer["target"] == ["test", "demo"]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [name.rpartition(" ")[2] for name in project["classifiers"] if "Python ::" in name]
    assert ["3.11", *newer["python"]] == versions
    assert [v for v in versions if Version(v) in SpecifierSet(project["requires-python"])] == versions


def test_a_check_that_fails_hides_no_other(root, tmp_path):
    """`.ci/run`, with a make that says what it was asked for and a machine that has what it would install."""
    shutil.copytree(root / ".ci", tmp_path / ".ci")
    for name in ("slurmctld", "chromium", "strace"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "Makefile").write_text("%:\n\t@echo made $@; test $@ != lint\n", encoding="utf-8")
    for given, made in (((), ["lint", "docs", "test"]), (("test",), ["test"])):
        run = subprocess.run(
            [tmp_path / ".ci/run", *given],
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert re.findall(r"^made (.*)$", run.stdout, re.MULTILINE)[:3] == made
        assert (run.returncode == 0) == ("lint" not in made)


def test_a_torch_for_cpus_leaves_out_what_is_for_cuda(root, tmp_path):
    """`make install`, with a Python that writes down what pip is asked for."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "python").write_text(
        "#!/bin/sh\nmkdir -p .venv/bin\ncp pip .venv/bin/python\n", encoding="utf-8"
    )
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@" >> asked\n', encoding="utf-8")
    for name in ("python", "pip"):
        (tmp_path / name).chmod(0o755)
    index = "https://example.org/cpu"
    subprocess.run(["make", "install", "PYTHON=./python", f"TORCH_INDEX={index}"], cwd=tmp_path, check=True)
    torch, rest, own = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    assert torch.endswith(f"--no-deps --index-url {index} --requirement .venv/torch.lock")
    assert rest.endswith("--requirement .venv/cpu.lock") and own.endswith("--no-deps --editable .")
    locks = [(tmp_path / f".venv/{name}.lock").read_text(encoding="utf-8") for name in ("torch", "cpu")]
    assert [line.partition("==")[0] for line in locks[0].splitlines()] == ["torch", "torchaudio"]
    pattern = r"^([a-z0-9-]+)==[^ ]+(.*) \\\n((?:    --hash=.*\n)+)"
    locked = re.findall(pattern, (root / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    kept = re.findall(pattern, locks[1], re.MULTILINE)
    left_out = {name: marker for name, marker, _ in {*locked} - {*kept}}
    assert left_out.pop("torch") == left_out.pop("torchaudio") == ""  # as they are in the other file
    assert len(left_out) > 15 and all("sys_platform == 'linux'" in marker for marker in left_out.values())
    assert "sys_platform == 'linux'" not in locks[1] and len(kept) > 130
    for line in locks[0].splitlines():
        requirement = Requirement(line)
        assert requirement.specifier.contains(f"{line.partition('==')[2]}+cpu")


def test_both_containers_install_the_same(root):
    docker, apptainer = (
        (root / name).read_text(encoding="utf-8") for name in ("Dockerfile", "apptainer.def")
    )
    for step in ("apt-get install --yes --no-install-recommends make", "make install PYTHON=python3"):
        assert step in docker and step in apptainer
    [base] = re.findall("^FROM (.*)$", docker, re.MULTILINE)
    assert f"From: {base}\n" in apptainer
    copied = apptainer.partition("%files")[2].partition("%post")[0].split()[::2]
    assert all((root / name).exists() for name in copied)
    # What a run reads: all that lies beside the Snakefile, but documents and what is for developers.
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, encoding="utf-8", check=True)
    tops = {name.partition("/")[0] for name in listed.stdout.split() if not name.startswith(".")}
    others = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Dockerfile", "apptainer.def", "benchmarks"}
    others |= {"codemeta.json", "docs", "mkdocs.yml", "results", "tests"}
    assert tops - others == {name.partition("/")[0] for name in copied}
    # Docker installs before it copies the rest: an installation needs no more than this.
    first = [
        name for line in re.findall(r"^COPY (?!\.)(.*)$", docker, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert {*first} >= {"Makefile", "requirements.lock", "pyproject.toml", "README.md", "LICENSE"}
    assert all((root / name).is_file() for name in first)


def test_an_image_is_built_on_a_tag(root):
    workflow = yaml.safe_load((root / ".github/workflows/image.yml").read_text(encoding="utf-8"))
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # `on` is a boolean of YAML
    [job] = workflow["jobs"].values()
    assert [line for step in job["steps"] if "run" in step for line in step["run"].splitlines()] == [
        'docker run --rm "$IMAGE" convexprune --help',
        'docker run --rm "$IMAGE" snakemake --dry-run --snakefile /opt/convexprune/Snakefile',
        'docker push "$IMAGE"',
    ]


def test_the_citation_can_be_read(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == convexprune.__version__
    assert citation["references"][0]["title"] == "Convexity-based Pruning of Speech Representation Models"
    science = (root / "docs/science.md").read_text(encoding="utf-8")
    for reference in citation["references"]:
        assert reference["title"] in " ".join(science.split()), reference["title"]
        assert reference["doi"].removeprefix("10.48550/arXiv.") in science
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (\d.*)$", changes, re.MULTILINE)[0]
    assert newest == f"{citation['version']}, {citation['date-released']}"


def test_every_script_begins_its_log_before_anything_else(root):
    for path in (root / "workflow/scripts").glob("*.py"):
        [main] = [
            part
            for part in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(part, ast.FunctionDef)
        ]
        assert ast.unparse(main.body[0]).startswith("logs.start_log(smk.log[0]"), path


def test_every_rule_with_a_script_has_a_log_of_its_own_and_every_heavy_one_a_benchmark(root):
    for path in (root / "workflow/rules").glob("*.smk"):
        for body in re.split(
            r"^\s*(?:rule|checkpoint)[ :]", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )[1:]:
            assert re.search(r'log:\s+f?"<results>/logs/', body), body
            network = "download_" in body.partition("input:")[0]
            if network or "localrule: True" not in body:
                assert re.search(r'benchmark:\s+"<results>/benchmarks/', body), body


def test_what_contributing_names_exists(root):
    text = re.sub("new file, `[^`]+`", "", (root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    targets = set(
        re.findall(r"^([\w-]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= targets
    for path in re.findall(r"\]\((?!http)([^)#]+)", text) + re.findall(
        r"`((?:tests|workflow|docs)/[\w./]+)`", text
    ):
        assert (root / path).exists(), path


def test_links_of_the_readmes_lead_somewhere(root):
    for page in [root / "README.md", *root.glob("*/README.md")]:
        links = re.findall(r"[^!]\[[^]]*\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8"))
        assert all((page.parent / link).exists() for link in links), page


def opens_text_without_encoding(call):
    """Whether a call opens a text file, or reads a program's text, as the locale has it."""
    keys = {argument.arg for argument in call.keywords}
    if keys & {"encoding", None}:  # None: **options
        return False
    if isinstance(call.func, ast.Attribute):
        if keys & {"text", "universal_newlines"}:  # of subprocess
            return True
        least = {"read_text": 1, "write_text": 2}.get(call.func.attr)
        return least is not None and len(call.args) < least
    mode = call.args[1] if len(call.args) > 1 else ast.Constant("r")
    return isinstance(call.func, ast.Name) and call.func.id == "open" and "b" not in ast.literal_eval(mode)


def test_every_text_file_is_opened_with_its_encoding(root):
    """Ruff's PLW1514 sees only what is surely a Path."""
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for folder in ("workflow", "tests", "benchmarks", "docs")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text_without_encoding(node)
    ]
    assert found == []
    for path in (root / "workflow/rules").glob("*.smk"):
        assert "read_text()" not in path.read_text(encoding="utf-8"), path
