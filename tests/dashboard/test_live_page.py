"""What a viewer sees, in a real browser on a real service."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from page_pictures import commonest_colour, picture
from page_stand import Service, Viewer
from playwright.sync_api import Browser

import edgestream
from edgestream.demo_command import demo_trajectory
from edgestream.match import match
from edgestream.models import open_store
from stream.sources.measured import read_measured

pytestmark = [pytest.mark.browser, pytest.mark.processes]
IN_FILE = "over 400 frames on disk"


def frames(n: int) -> list[Atoms]:
    from ase.io import read

    found: list[Atoms] = read(demo_trajectory(), f":{n}")
    return found


def test_the_spectrum_shown_equals_that_of_the_file(service: Service, viewer: Viewer) -> None:
    viewer.open("run=md")
    viewer.sees("#spectrum", IN_FILE)
    shown = viewer.numbers("spectrum")
    with edgestream.open_run(service.out / "md.h5") as file:
        assert shown["energy_ev"] == file.energy.tolist()
        assert shown["intensity"] == file.average.intensity.tolist()
        assert shown["intensity_errors"] == file.average.errors.tolist()
        assert np.allclose(shown["frame_399"], file.intensity[399], rtol=1e-5)
        novelty = viewer.numbers("track", "Novelty as numbers")
        assert np.allclose(novelty["largest_novelty"], file.novelty, rtol=1e-5)
        assert novelty["time_fs"] == file.times.tolist()


def test_frames_are_shown_while_they_arrive(service: Service, viewer: Viewer) -> None:
    with edgestream.connect(service.url) as es:
        run = es.run("arriving", timestep_fs=4.0)
        viewer.open("run=arriving")
        for atoms in frames(3):
            run.push(atoms)
        viewer.sees("#spectrum .newest-words", "frame 2")
        viewer.sees("#run-words", "still arriving")
        for atoms in frames(2):
            run.push(atoms)
        viewer.sees("#spectrum .newest-words", "frame 4")
        viewer.sees("#spectrum", "over 5 frames on disk")
        run.seal()
        viewer.sees("#run-words", "finished")


def test_a_promoted_model_shows_up_and_the_operator_rolls_it_back(
    service: Service, viewer: Viewer
) -> None:
    store = open_store(service.models)
    page = viewer.open("service")
    store.promote("fe-k", 2, who="a colleague", why="better")
    row = page.locator("#model-versions tbody tr", has_text="fe-k@2")
    row.get_by_text("champion").wait_for()
    assert not page.get_by_role("button", name="Roll fe-k back").is_visible()
    viewer.unlock()
    page.on("dialog", lambda dialog: dialog.accept("it was not"))
    page.get_by_role("button", name="Roll fe-k back").click()
    page.locator("#model-versions tbody tr", has_text="fe-k@1").get_by_text("champion").wait_for()
    entry = open_store(service.models).history("fe-k", 1)[0]
    assert (entry.action, entry.after, entry.why) == ("rollback", 1, "it was not")
    assert entry.who == "page@127.0.0.1"


def test_a_dead_letter_is_explained_and_requeued(service: Service, viewer: Viewer) -> None:
    with edgestream.connect(service.url) as es, es.run("poisoned") as run:
        run.push([*frames(2), Atoms("FeO", positions=[[0, 0, 0], [0, 0, 0.001]])])
    page = viewer.open("service")
    page.locator("#letters tbody tr").wait_for()
    assert "apart" in page.inner_text("#letters tbody") or "close" in page.inner_text("#letters")
    viewer.sees("#trouble", "1 dead letters")
    viewer.unlock()
    page.get_by_role("button", name="Requeue frame 2").click()
    viewer.sees("#operator-words", "Done: requeued")


def test_the_operator_holds_a_producer_back_and_lets_it_go_on(
    service: Service, viewer: Viewer
) -> None:
    page = viewer.open("service")
    with edgestream.connect(service.url) as es, es.run("held") as run:
        run.push(frames(1))
        row = page.locator("#runs tbody tr", has_text="held")
        row.get_by_text("open").wait_for()
        assert not page.get_by_role("button", name="Pause the producer of held").is_visible()
        page.on("dialog", lambda dialog: dialog.accept())
        viewer.unlock()
        page.get_by_role("button", name="Pause the producer of held").click()
        viewer.sees("#trouble", "run 'held' is paused since")
        row.get_by_text("paused").wait_for()
        assert run.state().paused_at is not None
        page.get_by_role("button", name="Resume the producer of held").click()
        row.get_by_text("open").wait_for()
        run.push(frames(1))


def test_the_operator_drains_the_service_and_lets_producers_in_again(
    service: Service, viewer: Viewer
) -> None:
    page = viewer.open("service")
    viewer.sees("#service-words", f"server {service.url} ")  # where others reach it too
    page.on("dialog", lambda dialog: dialog.accept())
    viewer.unlock()
    page.get_by_role("button", name="Drain: hold back all producers").click()
    viewer.sees("#trouble", "the service is drained since")
    page.get_by_role("button", name="Let producers in again").click()
    viewer.sees("#operator-words", "all producers may push again")
    page.get_by_role("button", name="Drain: hold back all producers").wait_for()


def test_a_wrong_token_changes_nothing(service: Service, browser: Browser) -> None:
    viewer = Viewer.of(browser, service.address)
    page = viewer.open("service")
    viewer.unlock("an operator's token")
    viewer.sees("#operator-words", "that is not the operator's token")
    assert page.locator("#models button:visible").count() == 0
    assert viewer.complaints == [
        "Failed to load resource: the server responded with a status of 401 (Unauthorized)"
    ]
    page.context.close()


def test_the_page_comes_back_after_its_server(service: Service, browser: Browser) -> None:
    viewer = Viewer.of(browser, service.address)
    viewer.open("run=md")
    service.kill_page()
    viewer.sees("#connection", "connection lost")
    viewer.sees("#connection", "live")
    viewer.sees("#spectrum", IN_FILE)
    viewer.page.context.close()


def test_a_plot_is_zoomed_with_the_keyboard(viewer: Viewer) -> None:
    page = viewer.open("run=md")
    viewer.sees("#spectrum", IN_FILE)
    whole = viewer.numbers("spectrum")["energy_ev"]
    page.get_by_role("button", name="Download the numbers of: Average spectrum").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('#spectrum .plot')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("+")
    part = viewer.numbers("spectrum")["energy_ev"]
    assert whole[0] < part[0] < part[-1] < whole[-1]
    page.locator("#spectrum .plot").focus()
    page.keyboard.press("0")
    assert viewer.numbers("spectrum")["energy_ev"] == whole


def test_every_control_is_reached_with_the_keyboard(viewer: Viewer) -> None:
    page = viewer.open("run=md")
    viewer.sees("#spectrum", IN_FILE)
    wanted = page.locator("a:visible, button:visible, select:visible, input:visible, .plot")
    reached = set()
    for _ in range(wanted.count() + 3):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        )
    assert (
        len(reached) >= wanted.count() - 1
    )  # the skip link counts once, whether it is seen or not


def test_a_run_is_compared_with_a_model_a_run_and_a_measured_file(
    service: Service, viewer: Viewer, tmp_path: Path
) -> None:
    with edgestream.open_run(service.out / "md.h5") as file:
        average = file.average
        columns = np.column_stack([file.energy + 1.5, 3.0 * average.intensity])
    np.savetxt(service.out / "iron.xdi", columns, header="energy mu")
    spectrum = read_measured(service.out / "iron.xdi")
    found = match(spectrum, average.energy, average.intensity, average.errors)
    assert abs(found.shift_ev - 1.5) < 0.02
    np.savetxt(tmp_path / "mine.dat", columns, header="energy mu")
    page = viewer.open("run=md")
    viewer.sees("#spectrum", IN_FILE)
    page.reload()  # the folder is looked at when a run is opened
    page.locator("#reference option[value='measured:iron.xdi']").wait_for(state="attached")
    page.select_option("#reference", "measured:iron.xdi")
    viewer.sees(
        "#difference .words", f"minus measured iron, in edge steps, moved by {found.shift_ev:+.2f}"
    )
    shown = viewer.numbers("difference")["run_minus_reference"]
    assert np.allclose(shown, found.predicted - found.measured, atol=1e-6)
    page.set_input_files("#measured", tmp_path / "mine.dat")
    viewer.sees("#difference .words", "minus measured mine")
    page.select_option("#reference", "model:fe-k@1")
    viewer.sees("#difference .words", "minus fe-k@1, for the same 32 frames: 0.0 % apart")


def test_a_frame_is_looked_at_alone(service: Service, viewer: Viewer) -> None:
    page = viewer.open("run=md")
    viewer.sees("#spectrum", IN_FILE)
    page.fill("#frame", "17")
    page.press("#frame", "Enter")
    viewer.sees("#sites .words", "frame 17: 1 site")
    shown = viewer.numbers("sites")
    with edgestream.open_run(service.out / "md.h5") as file:
        assert np.allclose(shown["atom_0"], file.sites.intensity[17], rtol=1e-6)


def test_the_waterfall_is_zoomed_and_its_numbers_are_those_of_the_file(
    service: Service, viewer: Viewer
) -> None:
    page = viewer.open("run=md")
    viewer.sees("#waterfall .words", "200 of 400 frames, evenly chosen")
    page.locator("#waterfall .plot").focus()
    for _ in range(3):
        page.keyboard.press("+")
    viewer.sees("#waterfall .words", "138 frames")
    shown = viewer.numbers("waterfall")
    with edgestream.open_run(service.out / "md.h5") as file:
        first, energy = int(shown["frame"][0]), file.energy.tolist()
        for name in list(shown)[1::50]:
            column = file.intensity[first : first + 138, energy.index(float(name))]
            assert np.allclose(shown[name], column, atol=2e-5 * file.intensity[:].max())


@pytest.mark.parametrize("place", ["run=md", "service"])
def test_a_telephone_needs_no_sideways_scrolling(
    service: Service, browser: Browser, place: str
) -> None:
    viewer = Viewer.of(browser, service.address, viewport={"width": 375, "height": 700})
    page = viewer.open(place)
    viewer.sees("main", IN_FILE if place == "run=md" else "champion")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.context.close()


def test_lines_differ_for_every_kind_of_sight(viewer: Viewer) -> None:
    page = viewer.open("run=md")
    eyes = page.context.new_cdp_session(page)
    for kind in ("none", "protanopia", "deuteranopia", "tritanopia", "achromatopsia"):
        eyes.send("Emulation.setEmulatedVisionDeficiency", {"type": kind})
        colours = [
            commonest_colour(page.locator(f"#track .key.{name}").screenshot())
            for name in ("average", "newest", "alarm")
        ]
        for a, b in zip(colours, colours[1:] + colours[:1], strict=True):
            told_apart = float(np.abs(a - b).sum())
            assert told_apart > (60 if kind != "achromatopsia" else 15), (kind, colours)


def test_no_script_but_ours_is_run(service: Service, browser: Browser) -> None:
    viewer = Viewer.of(browser, service.address)
    page = viewer.open("run=md")
    page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'),"
        "{textContent: 'window.strange = true'}))"
    )
    page.evaluate("document.body.setAttribute('onclick', 'window.strange = true')")
    page.click("h1")
    assert page.evaluate("window.strange") is None
    assert len(viewer.complaints) >= 2
    assert all("Content Security Policy" in words for words in viewer.complaints)
    page.context.close()


def test_names_from_outside_are_shown_as_text(service: Service, viewer: Viewer) -> None:
    title = "<img src=x onerror=alert(1)><b>bold</b>"
    with edgestream.connect(service.url) as es, es.run("strange", title=title) as run:
        run.push(frames(1))
    viewer.open("run=strange")
    viewer.sees("#run-words", title)
    assert viewer.page.locator("main img, main b").count() == 0


def test_the_pictures_of_the_docs_are_taken(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    viewer = Viewer.of(browser, service.address, viewport={"width": 1100, "height": 800})
    page = viewer.open("run=md")
    viewer.sees("#spectrum", IN_FILE)
    page.select_option("#reference", "model:fe-k-fast@1")
    viewer.sees("#difference .words", "% apart")
    page.check("#minus-average")
    page.click("#sites form button")
    viewer.sees("#sites .words", "1 site")
    picture(page, "live-page.png", tmp_path)
    viewer.open("service")
    viewer.sees("#models", "champion")
    picture(page, "live-service.png", tmp_path)
    page.context.close()
