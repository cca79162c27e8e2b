"""Pages made from the repository's own files when the site is built, so that they cannot go stale."""

import json
import posixpath
import re
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
# Page -> the README of the repository that is its text.
READMES = {"results.md": "results/README.md", "workflow.md": "workflow/README.md"}
READMES |= {"contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are READMEs of the repository."""
    for page, readme in READMES.items():
        text = (ROOT / readme).read_text(encoding="utf-8")
        text = re.sub(
            r"\]\(([^)]+)\)", lambda match, readme=readme: f"]({site_link(match[1], readme)})", text
        )
        files.append(File.generated(config, page, content=text))
    return files


def site_link(link: str, readme: str) -> str:
    """Where a link of a README leads on the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(readme), link))
    file, hash_sign, heading = target.partition("#")
    for page, other in READMES.items():
        if file == other:
            return f"{page}{hash_sign}{heading}"
    return target.removeprefix("docs/") if target.startswith("docs/") else link


def on_page_markdown(markdown: str, page: Page, **_) -> str:
    """Append the reference to the page of the config."""
    if page.file.src_uri != "config.md":
        return markdown
    return f"{markdown}\n{config_reference(yaml.safe_load(SCHEMA.read_text(encoding='utf-8')))}"


def config_reference(schema: dict) -> str:
    """A section for each key at the top of the config, a row for each key below it."""
    sections = []
    for key, part in schema["properties"].items():
        part = resolved(part, schema)
        required = " Required." if key in schema["required"] else ""
        rows = list(rows_below(part, schema, "")) or [(key, {**part, "description": ""})]
        sections += [
            f"## {key}",
            "",
            part.get("description", "") + required,
            "",
            "| key | values | default | meaning |",
            "|---|---|---|---|",
            *(table_row(name, entry) for name, entry in rows),
            "",
        ]
    return "\n".join(sections)


def resolved(part: dict, schema: dict) -> dict:
    """`part` with what it refers to; its own keys come first."""
    if "$ref" not in part:
        return part
    return schema["$defs"][part["$ref"].rpartition("/")[2]] | part


def rows_below(part: dict, schema: dict, prefix: str):
    """(name, schema) of every key below `part`, depth first; `<name>` stands for a name of the user's."""
    below = dict(part.get("properties", {}))
    if isinstance(part.get("additionalProperties"), dict):
        below["<name>"] = part["additionalProperties"]
    for key, entry in below.items():
        entry = resolved(entry, schema)
        name = f"{prefix}{key}"
        yield name, entry | {"required": key in part.get("required", [])}
        yield from rows_below(entry, schema, f"{name}.")


def table_row(name: str, entry: dict) -> str:
    default = "required" if entry.get("required") is True else ""
    if "default" in entry:
        default = f"`{json.dumps(entry['default'])}`"
    text = entry.get("description", "").replace("|", "\\|")
    return f"| `{name}` | {values(entry)} | {default} | {text} |"


def values(entry: dict) -> str:
    """What a key may hold, in words."""
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    kind = entry.get("type", "")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    if kind == "array":
        return f"list of {values(entry['items'])}"
    if kind == "object":
        return ""
    bounds = [
        f"{sign} {entry[bound]}"
        for bound, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if bound in entry
    ]
    return ", ".join([kind, *bounds])
