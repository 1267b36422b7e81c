"""Questions of a command: each is answered by an option, by its default, or by somebody at the terminal."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.text import Text

from daemon.config import ConfigError

Wrong = Callable[[str], str | None]
"""Says what is wrong with an answer; None if nothing."""


def anything(answer: str) -> str | None:
    """Nothing is wrong with any answer."""
    return None


@dataclass(slots=True)
class Questions:
    """Options come first. Without an option, `defaults` takes the default, and else a terminal is asked.

    Where there is neither, the default counts for now, and `need_answers` complains about everything that was not given.
    """

    arguments: argparse.Namespace
    defaults: bool
    out: Console
    terminal: bool = field(default_factory=lambda: sys.stdin.isatty() and sys.stdout.isatty())
    missing: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def ask(self, name: str, text: str, default: str, wrong: Wrong = anything, needed: bool = False) -> str:
        """The answer to one question, of the option --`name`. Raises ConfigError for an option's wrong value.

        What is `needed` has no default that fits everybody, and counts as missing where there is nobody to ask.
        """
        option = f"--{name}"
        self.asked.add(name)
        given: str | None = getattr(self.arguments, name.replace("-", "_"))
        if given is not None or self.defaults or not self.terminal:
            if given is None and not self.defaults and needed:
                self.missing.append(option)
            answer = default if given is None else given
            problem = wrong(answer) if option not in self.missing else None
            if problem is not None:
                raise ConfigError(f"{option}: {problem}", f"give another {option}; `ostiaryd setup --help` says what it is")
            return answer
        while True:
            answer = self._said(text, default)
            problem = wrong(answer)
            if problem is None:
                return answer
            self.out.print(Text(f"  {problem}", "yellow"))

    def agree(self, text: str, default: bool = False) -> bool:
        """Ask for yes or no at a terminal; without one it is `default`."""
        if self.defaults or not self.terminal:
            return default
        try:
            return Confirm.ask(Text(text), console=self.out, default=default)
        except EOFError:
            raise KeyboardInterrupt from None

    def secret(self, text: str) -> str:
        """Ask for a password at a terminal, without showing it; empty without a terminal."""
        return "" if self.defaults or not self.terminal else self._said(text, "", hidden=True)

    def need_answers(self, *options: str) -> None:
        """Raises ConfigError if a question had nobody to ask, or if one of these options answers nothing that was asked."""
        for option in options:
            if option not in self.asked and getattr(self.arguments, option.replace("-", "_")) is not None:
                raise ConfigError(f"--{option} says nothing about this gate", "leave it out; `ostiaryd setup --help` says what it is for")
        if self.missing:
            hint = "give them" if self.defaults else "give them, or take the defaults of all that have one with --yes"
            raise ConfigError(f"nobody is asked, and these are not given: {', '.join(self.missing)}", hint)

    def _said(self, text: str, default: str, hidden: bool = False) -> str:
        try:
            # A Text, because words in brackets would be markup.
            said = Prompt.ask(Text(text), console=self.out, default=default, show_default=bool(default), password=hidden)
        except EOFError:
            raise KeyboardInterrupt from None
        return said if hidden else said.strip()
