"""HTML pages from the templates of a package: what a template is given as text is escaped, and what it lacks is an error.

A page is one file. Its style and script are files beside the templates and are written into it.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup


def render(package: str, name: str, /, **values: object) -> str:
    """The page of the template `name` in the folder `templates` of a package. `pages/…` are the templates that all pages share.

    Only text that is `Markup` already, such as a drawing of `svg`, is not escaped. Raises jinja2.TemplateError for a template that asks
    for a value that is not there.
    """
    return _environment(package).get_template(name).render(values)


@cache
def _environment(package: str) -> Environment:
    loader = ChoiceLoader([PackageLoader(package), PrefixLoader({"pages": PackageLoader("daemon.pages")})])
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": False, "separators": (",", ":")}
    made.globals["file"] = lambda name: _file(made, loader, name)
    made.filters["digest"] = _digest
    return made


def _file(environment: Environment, loader: BaseLoader, name: str) -> Markup:
    """A style or a script as it stands in its file: it is no template, and its characters are not escaped."""
    return Markup(loader.get_source(environment, name)[0])


def _digest(script: str) -> str:
    """A script's name in a content security policy."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
