"""The report in headless Chromium: what its script does, how it fits a phone and paper, how fast it opens.

Needs `pip install -e .[browser]` and a browser: Debian's `chromium` package, or `playwright install chromium`.
"""

import os
import shutil
from pathlib import Path

import pytest
from test_report import write

from results import report

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e .[browser])")

POLICIES = ("rlbench18/drifting", "rlbench18/flow", "rlbench18/expert")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next((found for found in map(shutil.which, names) if found), None)
    # Chromium refuses to be its own sandbox for root, as in a container.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=arguments)
        except api.Error as error:
            pytest.skip(f"no Chromium to test the report in: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Three runs of 450 episodes."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert report.main([*POLICIES, "--out", str(out)]) == 0
    return out.as_uri()


@pytest.fixture
def visit(browser):
    """Opens a page; afterwards fails for a script error or a request of anything but the page and its videos."""
    contexts, problems = [], []

    def open_page(address, viewport=DESKTOP, **options):
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith("file:") else problems.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def opened_rows(page):
    return page.locator("table.episodes tbody tr:not(.detail)")


def test_450_episodes_open_in_under_a_second(visit, browser, tmp_path):
    out = tmp_path / "report.html"
    assert report.main([POLICIES[0], "--out", str(out)]) == 0
    times = []
    for _ in range(3):  # other work on the machine must not decide
        page = visit(out.as_uri())
        times.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        assert page.locator("#count").inner_text().startswith("450 of 450 episodes, ")
    assert min(times) < 1000


def test_filters_choose_episodes(visit, address):
    page = visit(address)
    count = page.locator("#count")
    assert count.inner_text().startswith("1350 of 1350 episodes")
    page.select_option("#by-run", label="expert")
    assert count.inner_text() == "450 of 1350 episodes, 450 of them solved; the first 50 are shown"
    page.select_option("#by-task", label="close jar")
    assert count.inner_text() == "25 of 1350 episodes, 25 of them solved"
    assert opened_rows(page).count() == 25
    page.select_option("#by-outcome", label="failure")
    assert count.inner_text().startswith("0 of 1350")
    page.locator("#filters button[type=reset]").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('1350 of 1350')")
    page.fill("#by-text", "OUT of flow")
    found = opened_rows(page).all_inner_texts()
    assert found and all("flow" in row and "out of" in row for row in found)


def test_policies_disagree_where_one_solves_what_another_does_not(visit, tmp_path):
    write(tmp_path / "a.jsonl", {"open_drawer": "1100"})
    write(tmp_path / "b.jsonl", {"open_drawer": "1010"}, name="flow")
    assert report.main([str(tmp_path)]) == 0
    page = visit((tmp_path / "report.html").as_uri())
    page.select_option("#by-outcome", label="policies disagree")
    assert page.locator("#count").inner_text() == "4 of 8 episodes, 2 of them solved"


def test_a_count_of_failures_leads_to_its_episodes(visit, address):
    page = visit(address)
    link = page.locator("a[data-reason]").first
    expected = link.inner_text().split(" of ")[0]
    link.click()
    assert page.locator("#count").inner_text().startswith(f"{expected} of 1350 episodes, 0 of them solved")


def test_columns_sort_both_ways_and_say_so(visit, address):
    page = visit(address)
    steps = page.locator("table.episodes thead th", has_text="steps")
    steps.locator("button").click()
    least = int(opened_rows(page).first.locator("td").nth(7).inner_text())
    assert steps.get_attribute("aria-sort") == "ascending"
    steps.locator("button").click()
    assert int(opened_rows(page).first.locator("td").nth(7).inner_text()) == 25 > least
    assert steps.get_attribute("aria-sort") == "descending"


def test_a_row_opens_to_its_replay_command_which_can_be_copied(visit, address):
    page = visit(address, permissions=["clipboard-read", "clipboard-write"])
    page.fill("#by-text", "drifting close_jar 2000003")
    button = page.locator("button.open")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    command = page.locator(".detail dd code").last.inner_text()
    start = "python -m envs.replay results/records/rlbench18/drifting/test.jsonl --episodes close_jar/v"
    assert command.startswith(start) and command.endswith("/s2000003")
    page.locator(".detail button").click()
    page.wait_for_function("document.querySelector('.detail button').textContent === 'copied'")
    assert page.evaluate("navigator.clipboard.readText()") == command
    button.click()
    assert page.locator(".detail").count() == 0


def test_a_video_lies_in_its_row(visit, tmp_path):
    write(tmp_path / "a.jsonl", {"open_drawer": "1"}, video="a_videos/x.mp4")
    (tmp_path / "a_videos").mkdir()
    (tmp_path / "a_videos" / "x.mp4").write_bytes(b"not really a film")
    assert report.main([str(tmp_path / "a.jsonl")]) == 0
    page = visit((tmp_path / "report.html").as_uri())
    opened_rows(page).first.click()
    assert Path(page.locator("video").evaluate("video => new URL(video.src).pathname")).parent.name == "a_videos"


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP])
def test_nothing_sticks_out_and_every_text_can_be_read(visit, address, viewport):
    page = visit(address, viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    sizes = page.evaluate(
        """[...document.querySelectorAll('svg text')].filter(t => t.getClientRects().length)
           .map(t => 12 * t.ownerSVGElement.getScreenCTM().a)"""
    )
    assert len(sizes) > 100 and min(sizes) >= 9
    cut = page.evaluate(
        """[...document.querySelectorAll('svg text')].filter(t => t.getClientRects().length).filter(t => {
           const box = t.getBoundingClientRect(), frame = t.ownerSVGElement.getBoundingClientRect();
           return box.left < frame.left - 1.5 || box.right > frame.right + 1.5 || box.bottom > frame.bottom + 1.5;
        }).map(t => t.textContent)"""
    )
    assert cut == []


def test_dark_screens_get_a_dark_page_and_paper_a_light_one(visit, address):
    page = visit(address, color_scheme="dark")

    def background():
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in colour[4:-1].split(",")]

    assert max(background()) < 60
    page.emulate_media(media="print", color_scheme="dark")
    assert min(background()) > 200
    assert page.locator("#filters").is_hidden() and page.locator("nav").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_background(visit, address, scheme):
    """WCAG's contrast of 4.5 : 1 for every colour that texts use."""
    page = visit(address, color_scheme=scheme)
    ratios = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const luminance = (name) => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const parts = [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255)
              .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
          };
          const page = luminance("--page");
          return ["--text", "--quiet", ...[0, 1, 2, 3, 4, 5].map((k) => `--c${k}`)].map((name) => {
            const [low, high] = [luminance(name), page].sort((a, b) => a - b);
            return [name, (high + 0.05) / (low + 0.05)];
          });
        }"""
    )
    assert [name for name, ratio in ratios if ratio < 4.5] == []


def test_without_script_the_page_still_holds_the_results(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("#summary table").is_visible() and page.locator("#tasks svg").first.is_visible()
    assert page.locator("#filters").is_hidden()
    context.close()
