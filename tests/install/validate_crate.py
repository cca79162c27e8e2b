"""Validates a crate by roc-validator, in an environment with it and `rocrate`: python validate_crate.py CRATE

Nothing is asked of the network. In place of the contexts that a crate names, on w3id.org, is that of
RO-Crate 1.3, which the package `rocrate` brings, with the terms of Bioschemas as they are in 1.1.
"""

import importlib.resources
import json
import sys

import requests
from rocrate.rocrate import ROCrate
from rocrate_validator import models, services

WORKFLOW = "https://w3id.org/ro/terms/workflow-run"
file = importlib.resources.files("rocrate") / "data/ro-crate.jsonld"
terms = json.loads(file.read_text(encoding="utf-8"))["@context"]
old = ("ComputationalWorkflow", "FormalParameter", "input", "output")
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": terms | {name: f"https://bioschemas.org/{name}" for name in old},
    f"{WORKFLOW}/context": {"sha256": f"{WORKFLOW}#sha256"},
}


def answer(adapter, request, **options):
    """The context at the address of a request. There is no other in a valid crate: KeyError."""
    response = requests.Response()
    response.status_code, response.url, response.request = 200, request.url, request
    response.headers["Content-Type"] = "application/ld+json"
    response._content = json.dumps({"@context": CONTEXTS[request.url]}).encode()
    return response


requests.adapters.HTTPAdapter.send = answer
settings = services.ValidationSettings(
    rocrate_uri=sys.argv[1],
    profile_identifier="workflow-run-crate-0.5",
    requirement_severity=models.Severity.RECOMMENDED,
    skip_availability_check=True,  # of what is on the web
    no_cache=True,
)
result = services.validate(settings)
for issue in result.get_issues(min_severity=models.Severity.RECOMMENDED):
    print(issue.severity.name, issue.check.identifier, issue.violatingEntity, issue.message)
main = ROCrate(sys.argv[1]).mainEntity  # the library reads it too
print(f"The workflow is {main['name'] if main else 'not named'}")
required = result.get_issues(min_severity=models.Severity.REQUIRED)
print(f"{len(required)} requirements of {settings.profile_identifier} are not met")
sys.exit(bool(required))
