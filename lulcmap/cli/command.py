"""Commands with short help, which name a stray argument before anything else."""

import click

HELP_OPTIONS = ["-h", "--help"]
"""Options that show a command's help."""


class _ShortHelp(click.Command):
    """A command with ``-h``, in any context: Click keeps the options of the first context."""

    def get_help_option_names(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as Click's
        """The options that show the help."""
        return HELP_OPTIONS


class CommandGroup(_ShortHelp, click.Group):
    """A group of commands."""


class Command(_ShortHelp):
    """A command that names arguments it does not take.

    Click reports a missing option first: ``lulcmap predict country.geojson`` would say that --aoi
    is missing, not that the file was given without it.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            click.UsageError: there are arguments that the command does not take.

        """
        if not ctx.resilient_parsing and not set(args) & set(HELP_OPTIONS):
            _, stray, _ = self.make_parser(ctx).parse_args(args=list(args))
            if stray:
                raise click.UsageError(_unexpected(self, stray), ctx)
        return super().parse_args(ctx, args)


def _unexpected(command: click.Command, stray: list[str]) -> str:
    """What to do about stray arguments: the area needs its option."""
    names = " ".join(stray)
    has_area = any("--aoi" in option.opts for option in command.params)
    if has_area and len(stray) == 1:
        return f"Unexpected argument {names}. To map this area, give --aoi {names}."
    return f"Unexpected argument{'s' * (len(stray) > 1)} {names}."
