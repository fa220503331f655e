"""What a newcomer is told: missing packages, a missing or old driver, downloads."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from envs.maniskill import install
from envs.maniskill.expert import check_planner
from envs.maniskill.simulation import check_device
from envs.spec import InputError
from envs.suite import load_suite


def manifest(folder, name, number):
    path = folder / name
    path.write_text(
        json.dumps({"ICD": {"api_version": number, "library_path": "x.so"}, "file_format_version": "1.0.0"})
    )
    return path


@pytest.fixture
def no_device(monkeypatch):
    """A SAPIEN that finds no device."""

    def fail():
        raise RuntimeError("failed to find a rendering device")

    sapien, render = ModuleType("sapien"), ModuleType("sapien.render")
    render.get_device_summary, render.set_log_level = fail, lambda level: None
    sapien.render = render
    monkeypatch.setitem(sys.modules, "sapien", sapien)
    monkeypatch.setitem(sys.modules, "sapien.render", render)
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"mani_skill, sapien, torch, fast_simplification.*\[sim-maniskill\]"):
        load_suite("maniskill5").spec("PickCube-v1")


def test_an_old_driver_is_named_with_the_package_to_install(no_device, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "_MANIFESTS", (str(tmp_path),))
    manifest(tmp_path, "lvp_icd.x86_64.json", "1.1.230")
    manifest(tmp_path, "radeon_icd.x86_64.json", "1.3.230")
    with pytest.raises(InputError) as refused:
        install.check_driver()
    told = str(refused.value)
    assert "failed to find a rendering device" in told
    assert "lvp_icd.x86_64.json (Vulkan 1.1.230)" in told
    assert f"too old: {tmp_path}/lvp_icd.x86_64.json" in told and "radeon_icd.x86_64.json, " not in told
    assert "apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1" in told


def test_no_driver_is_told(no_device, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "_MANIFESTS", (str(tmp_path / "none"),))
    with pytest.raises(InputError, match="none is installed"):
        install.check_driver()
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "lost.json"))
    with pytest.raises(InputError, match="VK_ICD_FILENAMES names none"):
        install.check_driver()


def test_a_named_manifest_is_read(no_device, monkeypatch, tmp_path):
    (tmp_path / "torn.json").write_text("{")
    good = manifest(tmp_path, "lvp.json", "1.4.305")
    monkeypatch.setenv("VK_ICD_FILENAMES", f"{good}:{tmp_path / 'torn.json'}")
    assert install.driver_names() == [f"{good} (Vulkan 1.4.305)", f"{tmp_path / 'torn.json'} (Vulkan unknown)"]
    with pytest.raises(InputError) as refused:
        install.check_driver()
    assert "too old" not in str(refused.value).splitlines()[0]


def test_downloads_are_refused_instead_of_asked_about(monkeypatch):
    package, utils = ModuleType("mani_skill"), ModuleType("mani_skill.utils")
    asked = SimpleNamespace(prompt_yes_no=input, download=print)
    utils.download_asset = asked
    monkeypatch.setitem(sys.modules, "mani_skill", package)
    monkeypatch.setitem(sys.modules, "mani_skill.utils", utils)
    monkeypatch.setitem(sys.modules, "mani_skill.utils.download_asset", asked)
    install.forbid_downloads()
    with pytest.raises(InputError, match="Environment X requires asset"):
        asked.prompt_yes_no("Environment X requires asset(s) ycb. Download now?")
    with pytest.raises(InputError, match="download"):
        asked.download(object())


def test_the_experts_have_an_environment_of_their_own(monkeypatch):
    monkeypatch.setattr("envs.maniskill.expert.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed.*setup_experts\.sh.*\.venv-experts/bin/python"):
        check_planner()
    monkeypatch.setattr("envs.maniskill.expert.find_spec", lambda name: object())
    monkeypatch.setattr("numpy.__version__", "2.4.6")
    with pytest.raises(InputError, match=r"crashes under NumPy 2 \(here 2.4.6\)"):
        check_planner()
    monkeypatch.setattr("numpy.__version__", "1.26.4")
    check_planner()


def test_cuda_is_asked_for_where_there_is_none(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        check_device("physx_cuda")
    check_device("physx_cpu")


def test_options_are_refused():
    with pytest.raises(InputError, match="no option demos"):
        load_suite("maniskill5").make("PickCube-v1", demos="x")
