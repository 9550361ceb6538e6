"""Static files and the headers of everything else."""

import pytest
from django.test import Client


def test_a_file_of_the_pages_is_served_and_may_be_kept_only_after_asking(reader: Client) -> None:
    answer = reader.get("/static/icon.svg")

    assert answer.status_code == 200
    assert answer.content.startswith(b"<svg")
    assert answer["Content-Type"] == "image/svg+xml"
    assert answer["Content-Length"] == str(len(answer.content))
    assert answer["Cache-Control"] == "max-age=0, public"
    assert "Access-Control-Allow-Origin" not in answer
    again = reader.get("/static/icon.svg", headers={"if-none-match": answer["ETag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_the_head_of_a_file_has_its_length_and_no_body(reader: Client) -> None:
    answer = reader.head("/static/icon.svg")

    assert int(answer["Content-Length"]) > 0
    assert answer.content == b""


def test_nothing_outside_the_folder_is_served(reader: Client) -> None:
    assert reader.get("/static/../settings.py").status_code == 404
    assert reader.get("/static/%2e%2e/settings.py").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/v1/sync", "/api/v1/openapi.json", "/nowhere"])
def test_every_other_answer_is_private(address: str, reader: Client) -> None:
    answer = reader.get(address)

    assert answer["Cache-Control"] == "no-store"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Content-Type-Options"] == "nosniff"
