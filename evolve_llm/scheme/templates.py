"""Prompt templates: Jinja2 files, one folder per answer format, any of them replaceable by the user's own.

A variation operator keeps its templates in a folder of its own package and says so in the default of its
``templates`` parameter; the toolbox puts the user's folder over it with ``over``:

    TEMPLATES = Templates(builtin=Path(__file__).parent / "prompts", names=("debate",))

    @variation(arity=2)
    def debate(problem, parents, *, templates: Templates = TEMPLATES):
        return templates.render(problem, "debate", candidates=[parent.text for parent in parents])

Files are searched in this order, ``FORMAT`` being the problem's answer format and ``NAME`` the template:
``override/FORMAT/NAME.md``, ``override/NAME.md``, the format's own folder ``NAME.md``,
``builtin/FORMAT/NAME.md``, ``builtin/NAME.md``. A file ``system.md`` found the same way, if there is one,
becomes the system message.

Every template may use ``question``, ``problem`` (without its reference), ``candidates`` (texts),
``candidate`` (the first of them) and ``fence`` (see ``fence``). Values are inserted as they are and never
read as templates, so a chain that holds ``{{ ... }}`` is only text (invariant I9).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Message, Prompt
from evolve_llm.scheme import registry
from evolve_llm.scheme.formats import AnswerFormat

SYSTEM = "system"
VARIABLES = frozenset({"question", "problem", "candidates", "candidate", "fence"})

_FENCES = tuple(mark * length for length in (5, 10, 20, 40) for mark in "=#~")
_REFERRING: tuple[type[nodes.Node], ...] = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # prompts are plain text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A prompt is a function of the problem and the parents alone (invariant I1).
    del environment.filters["random"]
    del environment.globals["lipsum"]
    return environment


_ENVIRONMENT = _environment()


def fence(texts: Sequence[str]) -> str:
    """A mark that occurs in none of the texts, to set them apart: ``=====`` unless one of them holds it.

    So a chain cannot pass off a part of itself as another chain, or as our own words.
    """
    for mark in _FENCES:
        if not any(mark in text for text in texts):
            return mark
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"===== {digest[:24]}"


@dataclass(frozen=True)
class _Source:
    origin: str
    text: str
    template: jinja2.Template
    variables: frozenset[str]


class Templates:
    """Where one operator's prompt templates come from, compiled once.

    ``override`` is the user's folder, ``builtin`` the operator's own; ``names`` are the templates the
    operator renders, and ``variables`` what it passes besides those every template may use. Not found,
    not readable or not valid files are UserErrors of ``check`` (and of ``render``), each naming the file.
    """

    def __init__(
        self,
        override: Path | None = None,
        *,
        builtin: Path | Traversable | None = None,
        names: Iterable[str] = (),
        variables: Iterable[str] = (),
    ) -> None:
        if override is not None and not Path(override).is_dir():
            raise UserError(
                f"the folder of prompt templates {str(override)!r} does not exist or is not a folder"
            )
        self.override = None if override is None else Path(override)
        self.builtin = builtin
        self.names = tuple(names)
        self.variables = VARIABLES | frozenset(variables)
        self._cache: dict[tuple[str, str], _Source | None] = {}

    def over(self, base: Any) -> Templates:
        """These overrides put over an operator's own templates (the default of its ``templates`` parameter).

        Anything but a Templates (an operator that declares none) gives these back as they are.
        """
        if not isinstance(base, Templates) or base is self:
            return self
        return Templates(
            self.override or base.override,
            builtin=base.builtin,
            names=base.names,
            variables=base.variables - VARIABLES,
        )

    def render(self, problem: Problem, name: str, **values: Any) -> Prompt:
        """The prompt of template ``name`` for a problem; ``candidates`` are texts, shown in this order.

        The problem's reference never reaches a template (invariant I3). Raises UserError where the template
        is missing or fails on these values.
        """
        source = self._source(problem.format, name)
        if source is None:
            raise UserError(self._missing(problem.format, name))
        values["question"] = problem.question
        values["problem"] = problem if problem.reference is None else problem.public()
        candidates = values.get("candidates")
        if candidates:
            values["candidate"] = candidates[0]
            values["fence"] = fence([problem.question, *candidates])
        user = Message("user", _rendered(source, values))
        system = self._source(problem.format, SYSTEM)
        if system is None:
            return Prompt((user,))
        return Prompt((Message("system", _rendered(system, values)), user))

    def check(
        self, formats: Iterable[str], names: Iterable[str] | None = None, problems: Iterable[Problem] = ()
    ) -> None:
        """Find every fault before a token is spent: raises UserError naming the file.

        Checks that each of ``names`` (the operator's own by default) exists for each format, compiles, and
        uses no unknown variable; and renders each once for ``problems``, a few of each kind being enough.
        """
        wanted = self.names if names is None else tuple(names)
        for form in sorted(set(formats)):
            for name in wanted:
                if self._source(form, name) is None:
                    raise UserError(self._missing(form, name))
            self._source(form, SYSTEM)
        if self.variables == VARIABLES:  # what an operator of its own variables passes is not known here
            for problem in problems:
                for name in wanted:
                    self.render(problem, name, candidates=["one", "two"])

    def digest(self, formats: Iterable[str], names: Iterable[str] | None = None) -> str:
        """A hexadecimal digest of every text that prompts of these formats are made from.

        Part of a run's identity: where a prompt was changed, a resume is refused.
        """
        wanted = self.names if names is None else tuple(names)
        hashed = hashlib.sha256()
        for form in sorted(set(formats)):
            for name in sorted({*wanted, SYSTEM}):
                source = self._source(form, name)
                part = f"{form}/{name}\0{source is not None}\0{source.text if source else ''}\0"
                hashed.update(part.encode())
        return hashed.hexdigest()

    def _source(self, form: str, name: str) -> _Source | None:
        try:
            return self._cache[form, name]
        except KeyError:
            source = self._cache[form, name] = self._find(form, name)
            return source

    def _places(self, form: str, name: str) -> list[Path | Traversable]:
        file = f"{name}.md"
        places: list[Path | Traversable] = []
        answer_format: AnswerFormat = registry.load("answer format", form)
        folders = [name for name in (form, answer_format.like) if name]
        if self.override is not None:
            places += [*(self.override / folder / file for folder in folders), self.override / file]
        if answer_format.prompts is not None:
            places.append(answer_format.prompts / file)
        if self.builtin is not None:
            places += [*(self.builtin / folder / file for folder in folders), self.builtin / file]
        return places

    def _find(self, form: str, name: str) -> _Source | None:
        for place in self._places(form, name):
            if place.is_file():
                return self._compiled(place)
        return None

    def _missing(self, form: str, name: str) -> str:
        searched = (
            ", ".join(str(place) for place in self._places(form, name)) or "(nowhere: no folder is given)"
        )
        return f"there is no prompt template {name!r} for the answer format {form!r}; searched: {searched}"

    def _compiled(self, place: Path | Traversable) -> _Source:
        origin = str(place)
        try:
            text = place.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the prompt template {origin}: {error}") from error
        if not text.strip():
            raise UserError(f"the prompt template {origin} is empty")
        try:
            tree = _ENVIRONMENT.parse(text)
            template = _ENVIRONMENT.from_string(text)
            template.globals = dict(template.globals)  # copied at each rendering, where a chain map is slow
        except jinja2.TemplateSyntaxError as error:
            raise UserError(f"the prompt template {origin}, line {error.lineno}: {error.message}") from error
        except (jinja2.TemplateError, RecursionError) as error:
            raise UserError(f"the prompt template {origin}: {error}") from error
        if any(tree.find(kind) is not None for kind in _REFERRING):
            raise UserError(f"the prompt template {origin} includes another file; write it as one file")
        used = frozenset(meta.find_undeclared_variables(tree)) - frozenset(_ENVIRONMENT.globals)
        unknown = sorted(used - self.variables)
        if unknown:
            raise UserError(
                f"the prompt template {origin} uses the unknown variable {unknown[0]!r}; "
                f"it may use: {', '.join(sorted(self.variables))}"
            )
        return _Source(origin, text, template, used)


def _rendered(source: _Source, values: dict[str, Any]) -> str:
    try:
        return source.template.render(values)
    except Exception as error:  # a template is the user's code and may fail in any way
        raise UserError(f"the prompt template {source.origin}: {error or type(error).__name__}") from error


def check_prompts(used: Iterable[Templates], problems: Sequence[Problem]) -> str:
    """Check the templates of all operators of a run at once; returns one digest of them all.

    Besides what ``Templates.check`` finds: a folder of overrides in which no file is used by any operator.
    Raises UserError.
    """
    everything = list(used)
    formats = sorted({problem.format for problem in problems})
    kinds = {(problem.format, tuple(sorted(problem.metadata))): problem for problem in problems}
    for templates in everything:
        templates.check(formats, problems=kinds.values())
    for override in sorted({one.override for one in everything if one.override is not None}):
        names = sorted({name for one in everything for name in one.names} | {SYSTEM})
        candidates = [override / sub / f"{name}.md" for name in names for sub in ("", *formats)]
        if not any(path.is_file() for path in candidates):
            raise UserError(
                f"no prompt template in {str(override)!r} is used by this run; the run looks for "
                f"{', '.join(f'{name}.md' for name in names)}, there or in a folder {' or '.join(formats)}"
            )
    digests = sorted(templates.digest(formats) for templates in everything)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
