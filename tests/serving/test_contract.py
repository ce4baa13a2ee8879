"""The service keeps to its own OpenAPI description, whoever made the request up."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from pipeline.serving import keys
from tests.serving.made_up_service import picture, running

PATHS = {"/health", "/version", "/classes", "/metrics", "/predict", "/feedback"}
NO_PICTURE_BY_SCHEMA = ["positive_data_acceptance"]  # no schema can say which bytes are a picture


@pytest.fixture(scope="module", params=["open", "by key"])
def service(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    path = folder / "keys.json" if request.param == "by key" else None
    headers = (
        {"Host": "localhost"}
        if path is None
        else {"Authorization": f"Bearer {keys.add(path, 'ann', per_minute=10**6)}"}
    )
    with running(folder, keys=path) as own:
        yield own, headers


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_requests_made_up_from_the_description_find_no_fault(service, mode):
    own, headers = service
    described = schemathesis.openapi.from_asgi("/openapi.json", own.client.app, headers=headers)
    operations = [found.ok() for found in described.get_all_operations()]
    assert {operation.path for operation in operations} == PATHS
    for operation in operations:
        try:
            hold(operation, mode, headers)
        except Unsatisfiable:  # of an address that takes nothing, nothing can be wrong
            assert mode is GenerationMode.NEGATIVE
            assert operation.method == "get"


def hold(operation, mode: GenerationMode, headers: dict[str, str]) -> None:
    """Holds requests of one kind to what is described."""
    excluded = CHECKS.get_by_names(NO_PICTURE_BY_SCHEMA if operation.method == "post" else [])

    @settings(max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    holds()


def test_the_page_of_the_description_needs_no_other_site(service):
    own, _ = service
    page = own.client.get("/docs").text
    needed = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert len(needed) == 3
    assert all(own.client.get(address).status_code == 200 for address in needed)
    assert all(address.startswith("/docs/files/") for address in needed)
    assert '"validatorUrl": null' in page
    assert "//" not in re.sub(r"<!--.*?-->", "", page)


def test_the_description_names_what_is_sent_and_told(service):
    own, headers = service
    described = own.client.get("/openapi.json").json()
    predict = described["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
    assert "Answers" in str(predict["responses"]["200"])
    told = own.predict(picture(255), headers=headers).json()
    assert set(told) == set(described["components"]["schemas"]["Answers"]["properties"])
    assert set(told["pictures"][0]) <= set(described["components"]["schemas"]["Answer"]["properties"])
