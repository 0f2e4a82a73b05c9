"""`hourbook completion SHELL`: the script that teaches a shell our commands and options."""

from typing import Literal

from hourbook.cli.app import make_app
from hourbook.cli.exit_codes import OK
from hourbook.cli.out import emit

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script of a shell.

    bash: `hourbook completion bash > ~/.local/share/bash-completion/completions/hourbook`

    Parameters
    ----------
    shell:
        Which shell.
    """
    emit(make_app(describe=True).generate_completion(shell=shell).rstrip("\n"))
    return OK
