"""The house's own rules: imports run one way, light stages stay light, and stages name no path of their own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = ["index", "curate", "split", "dataset", "train", "evaluate", "gate", "identify", "queue"]
LIGHT = ["index", "curate", "split", "dataset", "gate", "queue"]
HEAVY = {"keras", "tensorflow", "mlflow"}

# Each layer may import itself and those before it.
LAYERS = [
    {"errors"},
    {"files", "progress", "paths", "loopback", "web", "behaviour"},
    {"sections"},
    {"config"},
    {"library"},
    {"models", "evaluation", "pages", "repository"},
    {"bundle"},
    {"dvc"},
    {"training", "inference"},
    {"tracking"},
    {"review", "serving", "demo", "rounds", "champion", "versions", "chronicle"},
    {"workspace"},
    {"stages"},
    {"commands"},
    {"cli", "terminal"},
]


def modules() -> list[Path]:
    return sorted((ROOT / "pipeline").rglob("*.py"))


def imported_by(module: Path) -> set[Path]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = ROOT.joinpath(*name.split("."))
            found |= {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}
    return {file for file in found if file.is_relative_to(ROOT / "pipeline")}


def layer(module: Path) -> int:
    place = module.relative_to(ROOT / "pipeline").parts[0].removesuffix(".py")
    return next(number for number, names in enumerate(LAYERS) if place in names)


def test_imports_run_one_way():
    files = [file for file in modules() if file != ROOT / "pipeline" / "__init__.py"]
    wrong = [
        f"{file.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for file in files
        for other in imported_by(file)
        if other != ROOT / "pipeline" / "__init__.py" and layer(other) > layer(file)
    ]
    assert not wrong


@pytest.mark.parametrize("stage", LIGHT)
def test_a_light_stage_imports_neither_keras_nor_tensorflow_nor_mlflow(stage):
    assert not heavy_modules(f"import pipeline.stages.{stage}")


def test_identification_by_another_runtime_does_not_wait_for_keras():
    assert not heavy_modules("import pipeline.stages.identify", HEAVY | {"openvino", "onnxruntime", "nncf"})


def test_the_help_imports_nothing_heavy_and_no_pandas():
    code = (
        "import contextlib, io, pipeline.cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    pipeline.cli.main(['--help'])"
    )
    assert not heavy_modules(code, HEAVY | {"pandas"})


def heavy_modules(code: str, heavy: set[str] = HEAVY) -> set[str]:
    program = f"import sys\n{code}\nprint(*({heavy!r} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_only_one_module_imports_mlflow():
    importing = [file.name for file in modules() if "import mlflow" in file.read_text()]
    assert importing == ["tracking.py"]


def test_only_the_config_reads_yaml():
    importing = [
        file.name
        for file in modules()
        if "yaml" in file.read_text().replace(".yaml", "") and "import yaml" in file.read_text()
    ]
    assert importing == ["config.py"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_no_path_of_its_own(stage):
    source = (ROOT / "pipeline" / "stages" / f"{stage}.py").read_text()
    assert '"data/' not in source
    assert "import paths" not in source


def test_no_module_outgrows_the_house():
    assert {file.name: lines for file in modules() if (lines := len(file.read_text().splitlines())) > 400} == {}
