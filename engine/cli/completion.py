"""``completion``: what a shell needs to complete our commands, options and domain names."""

from __future__ import annotations

import click

from engine.cli import output

__all__ = ["completion"]

_VARIABLE = "_VIRENGINE_COMPLETE"
_HOW = {
    "bash": 'eval "$(virengine completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(virengine completion zsh)" in ~/.zshrc',
    "fish": "virengine completion fish > ~/.config/fish/completions/virengine.fish",
}


@click.command(epilog="\b\n" + "\n".join(f"{shell}: {how}" for shell, how in _HOW.items()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    output.data(kind(ctx.find_root().command, {}, "virengine", _VARIABLE).source().strip())
