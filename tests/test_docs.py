"""The pages of the site: their code runs, in order; they name what there is, and link to it.

A page's output is made when the site is built, so it cannot be old; what its text says of the
numbers is held to them by the checks that stand in its comments.
"""

import ast
import re
import runpy
from pathlib import Path

import pytest

import bayesglmm as bg
from bayesglmm import datasets

DOCS = Path(__file__).parent.parent / "docs"
PAGES = runpy.run_path(str(DOCS / "_extensions" / "pages.py"))
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES["paths"]()]
RUN = ("python", "check", "sh")
SHOWN = ("r", "sas", "text", "{toctree}", "{eval-rst}", "{include} ../../examples/proc_mcmc.md")


def blocks(name):
    return list(PAGES["blocks"]((DOCS / name).read_text("utf-8")))


def with_code():
    # What a page includes is run elsewhere, with fewer draws (test_proc_mcmc).
    return [name for name in NAMES if any(block.language in RUN for block in blocks(name))]


@pytest.mark.parametrize("name", with_code())
def test_the_code_of_the_page_runs(name, tmp_path):
    done = PAGES["run"](DOCS / name, tmp_path)
    assert [block.code for block, _ in done] == [
        block.code for block in blocks(name) if block.language in RUN
    ]
    saved = [picture for _, output in done for picture in output.pictures]
    assert len(saved) == sum(b.code.count("savefig(") + b.code.count("path=") for b, _ in done)


def test_no_block_is_left_out():
    languages = {block.language for name in NAMES for block in blocks(name)}
    assert languages <= {*RUN, *SHOWN}
    for name in NAMES:
        text = (DOCS / name).read_text("utf-8")
        fences = re.findall(r"^ *(?:```|~~~)", text, re.M)
        checks = sum(block.language == "check" for block in blocks(name))
        assert len(fences) == 2 * (len(blocks(name)) - checks), name
        assert text.count("<!-- check") == text.count("<!--") == checks, name


def test_a_block_that_fails_names_the_page_and_the_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nx = 1\n```\n\n<!-- check\nassert x == 2\n-->\n")
    with pytest.raises(AssertionError) as caught:
        PAGES["run"](page, tmp_path)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 8)


def test_output_and_pictures_belong_to_their_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nfrom pathlib import Path\nprint('one')\n```\n"
        "```sh\nbayesglmm datasets  # a comment\n```\n"
        "```python\nPath('a.png').write_text('')\nprint('two')\n```\n"
    )
    first, listed, last = (output for _, output in PAGES["run"](page, tmp_path))
    assert (first.text, first.pictures) == ("one\n", ())
    assert listed.text.startswith("epilepsy")
    assert (last.text, last.pictures) == ("two\n", ("a.png",))


@pytest.mark.parametrize("command", ["rm data.csv", "bayesglmm sample nowhere.csv 'y ~ x'"])
def test_other_commands_and_bad_exit_codes_are_errors(command, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{command}\n```\n")
    with pytest.raises(ValueError, match="not run|exit code 2"):
        PAGES["run"](page, tmp_path)


def test_warnings_are_errors(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nimport warnings\n\nwarnings.warn('careful', stacklevel=1)\n```\n")
    with pytest.raises(UserWarning, match="careful"):
        PAGES["run"](page, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_pages_and_headings(name):
    page = DOCS / name
    # A link has no code in it: what looks like one there is Python.
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target).is_file(), target
    for block in blocks(name):
        if block.language == "{toctree}":
            for line in block.code.splitlines():
                if line and not line.startswith(":"):
                    assert (page.parent / f"{line}.md").is_file(), line


def test_every_page_is_reached():
    found = {"index.md"}
    for name in NAMES:
        for block in blocks(name):
            if block.language == "{toctree}":
                folder = (DOCS / name).parent
                found |= {
                    (folder / f"{line}.md").relative_to(DOCS).as_posix()
                    for line in block.code.splitlines()
                    if line and not line.startswith(":")
                }
    assert found == set(NAMES)


def test_every_data_set_has_a_page_with_its_published_table():
    assert {path.stem for path in (DOCS / "data").glob("*.md")} == {*datasets.names(), "index"}
    for name in datasets.names():
        text = (DOCS / "data" / f"{name}.md").read_text("utf-8")
        headings = re.findall(r"^## (.+)$", text, re.M)
        assert headings[0] == "The published table" and headings[-1] == "What one concludes"
        assert any(heading.startswith(("The posterior", "Two posteriors")) for heading in headings)
        # The published figures are compared, not only shown.
        checks = [b.code for b in PAGES["blocks"](text) if b.language == "check"]
        assert "round(" in checks[0] or "42.139" in checks[0]


def test_every_public_name_is_in_the_reference():
    text = "\n".join(path.read_text("utf-8") for path in (DOCS / "api").glob("*.md"))
    listed = re.findall(r"^\.\. auto\w+:: bayesglmm\.(\w+)$", text, re.M)
    assert sorted(listed) == sorted(bg.__all__)


def test_code_is_formatted_as_one_would_write_it():
    for name in NAMES:
        for block in blocks(name):
            if block.language in ("python", "check"):
                ast.parse(block.code)
                assert max(map(len, block.code.splitlines())) <= 100, (name, block.line)
