"""The prompt templates of the variation operators: ``FORMAT/NAME.md``, Jinja2."""

from importlib.resources import files

PROMPTS = files(__name__)
