import pytest

from stonks_overwatch.errors import ConfigError
from stonks_overwatch.management.command import Command, PeriodCommand, ReadingCommand


class Failing(Command):
    def handle(self, *args: object, **options: object) -> None:
        raise ConfigError("The file is empty.", next_step="Fill it in.")


class Reading(ReadingCommand):
    def handle(self, *args: object, **options: object) -> None:
        self.print_document({"base": options["base"], "as_of": str(options["as_of"])})


def test_an_error_is_two_lines_on_standard_error_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Failing().run_from_argv(["stonks-overwatch", "failing"])
    out, err = capsys.readouterr()
    assert end.value.code == 1
    assert out == ""
    assert err.splitlines() == ["error: The file is empty.", "next step: Fill it in."]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong", [["--as-of", "yesterday"], ["--base", "euro"], ["--base", "ZZZ"], ["--such"]]
)
def test_a_wrong_command_line_is_status_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Reading().run_from_argv(["stonks-overwatch", "reading", *wrong])
    assert end.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.django_db
def test_days_the_wrong_way_round_are_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        PeriodCommand().run_from_argv(
            ["stonks-overwatch", "days", "--from", "2026-05-01", "--to", "2025-01-01"]
        )
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith("days: error: argument --from: it is after --to\n")


@pytest.mark.django_db
def test_a_document_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Reading().run_from_argv(
        ["stonks-overwatch", "reading", "--json", "--base", "usd", "--as-of", "2026-01-31"]
    )
    assert capsys.readouterr().out == '{\n  "base": "USD",\n  "as_of": "2026-01-31"\n}\n'
