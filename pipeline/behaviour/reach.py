"""What a stage reaches, and a digest of each part that can change the values it writes.

That is the syntax tree of every module that it imports, without docstrings, comments and layout; the templates and
presets that these modules read; and the pins of the packages that they import. Only the standard library is used: any
supported Python gives equal digests, and every command can afford the check.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a command that finds nothing changed does not wait for it
    import ast

PINS = Path("constraints.txt")
EMPTY = "-"

# The params reach DVC as values. Errors, progress and MLflow are for people; the workspace says where.
CANNOT_CHANGE_WHAT_A_STAGE_WRITES = {
    *("pipeline/__init__.py", "pipeline/config.py", "pipeline/errors.py"),
    *("pipeline/progress.py", "pipeline/sections.py", "pipeline/workspace.py", "pipeline/tracking/__init__.py"),
}
READ_BY = {"pipeline/models/presets.py": "configs/models/*.yaml"}  # files that a module reads besides its templates
TEMPLATE = re.compile(r"[\w-]+\.html")
NAMED_IN_A_TEMPLATE = re.compile(r"""["']([\w-]+\.html)["']""")

# By the name that is imported: the distributions whose version can change a value.
DISTRIBUTIONS = {
    "PIL": ["pillow"],
    "ai_edge_litert": ["ai-edge-litert"],
    "albumentations": ["albucore", "albumentations", "opencv-python-headless"],
    "cleanlab": ["cleanlab", "scikit-learn"],
    "cv2": ["opencv-python-headless"],
    "jinja2": ["jinja2"],
    "keras": ["keras", "ml-dtypes", "tensorflow"],
    "markupsafe": ["markupsafe"],
    "nncf": ["nncf", "openvino"],
    "numpy": ["numpy"],
    "onnx": ["onnx"],
    "onnxruntime": ["onnxruntime"],
    "openvino": ["openvino"],
    "pandas": ["pandas"],
    "pillow_heif": ["pillow-heif"],
    "pyarrow": ["pyarrow"],
    "safetensors": ["safetensors"],
    "scipy": ["scipy"],
    "sklearn": ["scikit-learn"],
    "tensorflow": ["tensorflow"],
    "tensorflow_hub": ["tensorflow-hub", "tf-keras"],
    "tf2onnx": ["tf2onnx"],
}
# Locks, transport, threads, progress and checks of arguments.
PACKAGES_WITHOUT_VALUES = {
    *("filelock", "fsspec", "google", "pydantic", "ray", "tensorboard", "threadpoolctl", "tqdm"),
}

Digests = dict[str, str]  # by file, or by `constraints.txt:PACKAGE`


def code_folder(folder: Path = Path()) -> Path:
    """The folder whose `pipeline` the stages of the workspace `folder` run: its own, else the installed one."""
    return folder if (folder / "pipeline/stages").is_dir() else Path(__file__).parents[2]


def reached(stage: str, code: Path | None = None) -> Digests:
    """The digest of every file, and the pin of every package, that can change what the stage writes."""
    code = code_folder() if code is None else code
    found: Digests = {}
    packages: set[str] = set()
    todo = [f"pipeline/stages/{stage.replace('-', '_')}.py"]
    while todo:
        name = todo.pop()
        if name in found or name in CANNOT_CHANGE_WHAT_A_STAGE_WRITES:
            continue
        module = parsed(code / name)
        if module.digest != EMPTY:
            found[name] = module.digest
        todo += [file for imported in module.imports for file in _files(imported, code)]
        packages |= {imported.partition(".")[0] for imported in module.imports}
        found |= _templates(module.texts, code, Path(name).parent)
        if name in READ_BY:
            found |= {_relative(file, code): _text_digest(file) for file in sorted(code.glob(READ_BY[name]))}
    pins = pins_of(code)
    distributions = {each for package in packages for each in DISTRIBUTIONS.get(package, [])}
    return found | {f"{PINS}:{each}": pins[each] for each in distributions if each in pins}


def digest_of(digests: Mapping[str, str]) -> str:
    """One digest of all that a stage reaches."""
    return _sha("".join(f"{name} {digest}\n" for name, digest in sorted(digests.items())))


class Module(NamedTuple):
    """What a digest needs of a module; `texts` are the file names of templates that it may read."""

    digest: str
    imports: frozenset[str]
    texts: frozenset[str]


def parsed(path: Path) -> Module:
    """Reads a module; one that has not changed since this process read it is not read again."""
    state = path.stat()
    return _parse(path.absolute(), state.st_mtime_ns, state.st_size)


@cache
def _parse(path: Path, _modified: int, _size: int) -> Module:
    import ast

    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a zero byte
        return Module(_sha(source), frozenset(), frozenset())
    imports: set[str] = set()
    texts: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and TEMPLATE.fullmatch(node.value):
            texts.add(node.value)
    said = _canonical(tree)
    return Module(_sha(said) if said else EMPTY, frozenset(imports), frozenset(texts))


def canonical(source: str | bytes) -> str:
    """The syntax tree as text, without docstrings, comments and layout; equal on all supported Pythons.

    What differs between their trees is evened out: parts of an f-string that are text are joined, and fields that are
    empty, such as a later Python's type parameters, are left out.
    """
    import ast

    return _canonical(ast.parse(source))


def _canonical(tree: "ast.Module") -> str:
    import ast

    written: list[str] = []

    def write(value: object) -> None:
        if isinstance(value, ast.Constant):
            written.append(ascii(value.value))
        elif isinstance(value, ast.JoinedStr):
            written.append("JoinedStr(")
            write_all(_joined(value.values))
            written.append(")")
        elif isinstance(value, ast.AST):
            written.append(f"{type(value).__name__}(")
            for name, field in ast.iter_fields(value):
                if field is None or field == [] or name in {"ctx", "type_comment", "type_ignores"}:
                    continue
                if isinstance(field, ast.JoinedStr) and not field.values:  # an empty format
                    continue
                written.append(f"{name}=")
                write_all(field) if isinstance(field, list) else write(field)
            written.append(")")
        else:
            written.append(ascii(value))
        written.append(",")

    def write_all(values: list) -> None:
        written.append("[")
        for value in values:
            if not _does_nothing(value):
                write(value)
        written.append("]")

    for statement in tree.body:
        if not _does_nothing(statement):
            write(statement)
    return "".join(written)


def _does_nothing(node: object) -> bool:
    """Whether it is a docstring, another statement that is a text alone, or `pass`."""
    import ast

    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)


def _joined(values: list) -> list:
    """The parts of an f-string, with neighbouring texts as one."""
    import ast

    parts: list = []
    for value in values:
        if isinstance(value, ast.Constant):
            if value.value == "":
                continue
            if parts and isinstance(parts[-1], ast.Constant):
                value = ast.Constant(parts.pop().value + value.value)
        parts.append(value)
    return parts


def _files(imported: str, code: Path) -> Iterator[str]:
    """The files that an import runs: the module's, and those of the packages that it lies in."""
    parts = imported.split(".")
    if parts[0] != "pipeline":
        return
    for number in range(1, len(parts) + 1):
        place = "/".join(parts[:number])
        for name in (f"{place}.py", f"{place}/__init__.py"):
            if (code / name).is_file():
                yield name


def _templates(names: frozenset[str], code: Path, folder: Path) -> Digests:
    """The templates of this folder that the names are those of, and those that they include."""
    found: Digests = {}
    todo = list(names)
    while todo:
        file = folder / todo.pop()
        if file.as_posix() in found or not (code / file).is_file():
            continue
        found[file.as_posix()] = _text_digest(code / file)
        todo += NAMED_IN_A_TEMPLATE.findall((code / file).read_text(encoding="utf-8"))
    return found


def pins_of(code: Path) -> dict[str, str]:
    """The pinned version of each package, several of those that depend on the Python; none if there is no such file."""
    pins: dict[str, str] = {}
    for path in (code / PINS, PINS):
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                name, equals, version = line.partition(";")[0].strip().partition("==")
                if equals:
                    pins[name] = f"{pins[name]}|{version}" if name in pins else version
            break
    return pins


def file_digest(path: Path) -> str:
    """The digest of a module, a template or a preset."""
    return parsed(path).digest if path.suffix == ".py" else _text_digest(path)


def _text_digest(path: Path) -> str:
    return _sha(path.read_bytes().replace(b"\r\n", b"\n"))


def _sha(content: str | bytes) -> str:
    import hashlib

    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]


def _relative(file: Path, code: Path) -> str:
    return file.relative_to(code).as_posix()
