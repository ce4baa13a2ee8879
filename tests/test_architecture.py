"""The house's own rules: imports run one way, light stages stay light, and stages name no path of their own."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = [
    "index", "embed", "curate", "split", "dataset", "train", "evaluate", "gate", "embed-pool", "identify", "queue",
]  # fmt: skip
LIGHT = ["index", "curate", "split", "dataset", "gate", "queue"]
HEAVY = {"keras", "tensorflow", "mlflow"}

SEE_THE_WORKSPACE = {"workspace", "stages", "commands", "cli"}
READ_THE_PARAMS = SEE_THE_WORKSPACE | {"config"}


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


def room(module: Path) -> str:
    """The folder of `pipeline` that a module lies in, or the module itself if it lies at the top."""
    return module.relative_to(ROOT / "pipeline").parts[0].removesuffix(".py")


def imports_between_rooms() -> dict[str, set[str]]:
    """The rooms that each room imports."""
    found: dict[str, set[str]] = {}
    for file in modules():
        if file != ROOT / "pipeline" / "__init__.py":
            others = {room(other) for other in imported_by(file) if other != ROOT / "pipeline" / "__init__.py"}
            found.setdefault(room(file), set()).update(others - {room(file)})
    return found


def test_imports_run_one_way_without_a_circle_of_folders():
    try:
        list(graphlib.TopologicalSorter(imports_between_rooms()).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_only_stages_commands_and_the_program_see_the_workspace_and_the_params():
    seen = {name: others & {"workspace", "config"} for name, others in imports_between_rooms().items()}
    assert {name for name, others in seen.items() if "workspace" in others} <= SEE_THE_WORKSPACE
    assert {name for name, others in seen.items() if "config" in others} <= READ_THE_PARAMS


def test_commands_know_nothing_of_the_program_and_stages_nothing_of_commands():
    rooms = imports_between_rooms()
    assert not rooms["commands"] & {"cli"}
    assert not rooms["stages"] & {"cli", "commands"}


def test_files_do_not_import_each_other_in_a_circle():
    graph = {str(file): {str(other) for other in imported_by(file)} for file in modules()}
    packages = {str(file) for file in modules() if file.name == "__init__.py"}  # a package and its parts are one
    within = {
        name: {other for other in others if other not in packages}
        for name, others in graph.items()
        if name not in packages
    }
    try:
        list(graphlib.TopologicalSorter(within).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


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


def test_only_one_package_imports_mlflow():
    importing = {room(file) for file in modules() if re.search(r"^\s*(import|from) mlflow", file.read_text(), re.M)}
    assert importing == {"tracking"}


def test_only_the_config_reads_yaml():
    importing = [
        file.name
        for file in modules()
        if "yaml" in file.read_text().replace(".yaml", "") and "import yaml" in file.read_text()
    ]
    assert importing == ["config.py"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_no_path_of_its_own(stage):
    source = (ROOT / "pipeline" / "stages" / f"{stage.replace('-', '_')}.py").read_text()
    assert '"data/' not in source
    assert "import paths" not in source


def test_no_module_outgrows_the_house():
    assert {file.name: lines for file in modules() if (lines := len(file.read_text().splitlines())) > 400} == {}


# Other programs say in words only what kind of error they met: each is understood in one place.
UNDERSTAND_OTHERS = {
    "training/hardware.py": "TensorFlow: memory that ran out is one of many kinds of error, or only a text",
    "models/applications.py": "Keras: a download that failed is an error of no kind of its own",
}
SENTENCES = {"failure", "says", "message", "why"}  # columns and names that hold a sentence for people
NAMED_SENTENCES = SENTENCES | {"reason"}  # a column of this name holds a code
TAKES_APART = {"startswith", "endswith", "contains", "match", "fullmatch", "extract", "search", "findall"}


def is_a_sentence(node: ast.AST, caught: set[str]) -> bool:
    """Whether it is the text of an error (those `caught`, by name), or a column or variable that holds a sentence."""
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in caught
        case ast.Call(func=ast.Attribute(value=inner)) | ast.Attribute(attr="str", value=inner):
            return is_a_sentence(inner, caught)
        case ast.Attribute(attr="what" | "where" | "mend" | "hint", value=ast.Name(id=name)):
            return name in caught
        case ast.Subscript(slice=ast.Constant(value=name)):
            return name in SENTENCES
        case ast.Name(id=name):
            return name in NAMED_SENTENCES
    return False


def decisions_by_wording(source: str) -> list[int]:
    """The lines that compare a sentence with a text, look for one in it, or take it apart."""
    tree, lines = ast.parse(source), []
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name} | {"error"}
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                words = [side for side in (left, right) if isinstance(side, ast.Constant) and str(side.value)]
                looked_into = right if isinstance(op, ast.In | ast.NotIn) else left
                found = bool(words) and is_a_sentence(looked_into, caught)
                found &= all(isinstance(side.value, str) for side in words)
            case ast.Call(func=ast.Attribute(attr=attr, value=value), args=[*_, last]) if attr in TAKES_APART:
                found = is_a_sentence(value, caught) or is_a_sentence(last, caught)
            case _:
                continue
        if found:
            lines.append(node.lineno)
    return sorted(lines)


@pytest.mark.parametrize(
    "line",
    [
        'x = "install" in reason',
        'x = rows["failure"] == "missing"',
        'x = rows["failure"].str.fullmatch("missing|change.*")',
        'x = table["says"].str.contains("weak")',
        'x = re.match("too large", reason)',
        'try:\n    pass\nexcept E as fault:\n    x = str(fault).startswith("too large")',
        'try:\n    pass\nexcept E as fault:\n    x = "lock" in fault.what',
    ],
)
def test_a_decision_by_the_wording_of_a_sentence_is_noticed(line):
    assert decisions_by_wording(line)


@pytest.mark.parametrize(
    "line",
    [
        'x = rows["failure"] == ""',
        'x = rows["failure"] == Failure.MISSING',
        'x = failures.are(rows["failure"], UNSEEN)',
        "x = error.code == Exit.DATA",
        'try:\n    pass\nexcept E as fault:\n    x = str(fault).partition(":")[0]',
    ],
)
def test_a_decision_by_a_kind_is_none_by_wording(line):
    assert not decisions_by_wording(line)


def test_nothing_is_decided_by_the_wording_of_an_error_or_a_failure():
    found = {
        str(file.relative_to(ROOT / "pipeline")): lines
        for file in modules()
        if (lines := decisions_by_wording(file.read_text()))
    }
    assert found.keys() == UNDERSTAND_OTHERS.keys(), found


def public_docstrings(nodes: list[ast.stmt], within: str = "") -> Iterator[tuple[str, str]]:
    """The qualified name and the docstring of each public function, class and method, constructors included."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name
            if name.startswith("_") and not (within and name == "__init__"):
                continue
            if (text := ast.get_docstring(node)) is not None:
                yield within + name, text
            if isinstance(node, ast.ClassDef):
                yield from public_docstrings(node.body, f"{within}{name}.")


def begins_with_a_sentence(docstring: str) -> bool:
    paragraph = docstring.split("\n\n")[0]
    section = re.search(r"\b(Args|Attributes|Raises|Returns|Yields):(\s|$)", paragraph)
    return not section and bool(re.match(r"""[A-Z0-9"'`]""", paragraph)) and bool(re.search(r"\.(\W|$)", paragraph))


@pytest.mark.parametrize(
    "docstring",
    [
        "Raises:\n  DataError: if it is missing.",
        "Fetches images. Args:\nmost: bytes of all.",
        "datetime64[D] of the last change.",
        "Two rules, the first that holds:\n\n  1. One.",
        "",
    ],
)
def test_a_docstring_without_a_first_sentence_is_noticed(docstring):
    assert not begins_with_a_sentence(docstring)


def test_a_public_docstring_begins_with_a_sentence():
    lacking = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in modules()
        for name, docstring in public_docstrings(ast.parse(file.read_text()).body)
        if not begins_with_a_sentence(docstring)
    ]
    assert lacking == []
