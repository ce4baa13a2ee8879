"""Argparse as the program needs it: verbs with actions of their own, grouped help, and hints for mistyped names."""

import argparse
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError, closest

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace

JSON: dict[str, Any] = {"action": "store_true", "help": "print the result as JSON on stdout"}

Run = Callable[["Workspace", argparse.Namespace], "Answer"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are the program's own, with the nearest name for a mistyped command or choice."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            what = "unknown command" if action.dest == "verb" else "unknown action"
        else:
            what = f"{' or '.join(action.option_strings) or action.metavar or action.dest} cannot be"
        raise UsageError(f"{what} '{value}'", where=self.prog, mend=closest(str(value), known))

    def error(self, message: str) -> Any:
        raise UsageError(message, where=self.prog, mend=f"`{self.prog} --help` shows what it takes")


class _Actions(argparse._SubParsersAction):
    """Actions of a verb. A first word that names none goes to the default action, if there is one."""

    default_action = ""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if values[0] not in self._name_parser_map:
            values = [self.default_action, *values]
        super().__call__(parser, namespace, values, option_string)


class Verb:
    """One verb of the program while its arguments are declared."""

    def __init__(self, parser: argparse.ArgumentParser, run: Run | None):
        self.parser = parser
        self.parser.set_defaults(run=run)
        self._run = run
        self._actions: argparse._SubParsersAction | None = None
        self._shared: list[tuple[tuple[str, ...], Collection[str], dict[str, Any]]] = []

    def add(self, *names: str, **options: Any) -> None:
        """Declares an argument, as `argparse.ArgumentParser.add_argument`."""
        self.parser.add_argument(*names, **options)

    def share(self, *names: str, of: Collection[str] = (), **options: Any) -> None:
        """Declares an option that may stand before or after the name of any action that is declared later.

        Args:
          of: the actions whose help shows the option; all by default.
        """
        self.add(*names, **options)
        self._shared.append((names, of, options))

    def action(self, name: str, run: Run, help: str, *, default: bool = False) -> "Verb":
        """Declares an action of the verb, which has arguments and a `--help` of its own.

        Args:
          default: the action also takes a first word that names no action; without a word, the verb's `run` is called.
        """
        if self._actions is None:
            added = self.parser.add_subparsers(
                title="actions", metavar="ACTION", dest="action", required=self._run is None, action=_Actions
            )
            assert isinstance(added, argparse._SubParsersAction)
            self._actions = added
        if default:
            assert isinstance(self._actions, _Actions)
            self._actions.default_action = name
            self._actions.choices = None  # type: ignore[assignment]  # any word is taken
        parser = self._actions.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        made = Verb(parser, run)
        for names, of, options in self._shared:  # a default would overwrite what stands before the action
            help = options["help"] if not of or name in of else argparse.SUPPRESS
            made.add(*names, **options | {"default": argparse.SUPPRESS, "help": help})
        return made


class Program:
    """The program: its verbs in groups, in the order in which they are declared."""

    def __init__(self, alone: Run, *, description: str, epilog: str):
        self._groups: dict[str, list[tuple[str, str]]] = {}
        self._group = ""
        self._epilog = epilog
        self.parser = Parser(
            prog="wallaby",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage="wallaby [-h] [--json] [COMMAND ...]",
        )
        self.parser.add_argument("--json", **JSON)
        self.parser.set_defaults(run=alone, verb="")
        self._verbs = self.parser.add_subparsers(
            metavar="COMMAND", dest="verb", required=False, help=argparse.SUPPRESS, parser_class=Parser, prog="wallaby"
        )

    def group(self, title: str) -> None:
        """Begins a group of verbs."""
        self._group = title
        self._groups[title] = []

    def verb(self, name: str, run: Run | None, help: str) -> Verb:
        """Declares a verb; without `run`, one of its actions has to be named."""
        made = Verb(self._verbs.add_parser(name, description=f"{help[0].upper()}{help[1:]}."), run)
        made.share("--json", default=argparse.SUPPRESS, **JSON)  # else it would overwrite what stands before the verb
        self._groups[self._group].append((name, help))
        return made

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        lines = []
        for title, verbs in self._groups.items():
            lines += [f"{title}:", *(f"  {name:<15}{help}" for name, help in verbs), ""]
        self.parser.epilog = "\n".join([*lines, self._epilog])
        return self.parser.parse_args(argv)
