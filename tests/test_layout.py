import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_source_root_is_no_package_else_it_would_shadow_the_standard_librarys_operator() -> None:
    assert (ROOT / "operator" / "triton_operator" / "__init__.py").is_file()
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_every_task_of_the_makefile_is_listed_by_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = set(re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE))
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", text, re.MULTILINE))
    assert tasks == listed
    assert tasks >= {"help", "demo", "test", "check", "e2e", "soak", "bench", "crds", "clean"}


def test_links_between_pages_lead_somewhere() -> None:
    for page in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("cluster/*.md"),
    ):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
