"""The command line: ``bayesglmm sample``, ``fit``, ``compare``, ``report`` and others."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from . import __version__, cli_diagnose, cli_fit, cli_predict, cli_report, cli_sample, cli_verify
from .cli_arguments import BAD_INPUT, GOOD, INTERRUPTED, NOT_CONVERGED

__all__ = ["BAD_INPUT", "GOOD", "INTERRUPTED", "NOT_CONVERGED", "main"]

EXAMPLES = """\
examples:
  bayesglmm sample epilepsy "seizures ~ log(base) * treat + (visit | id)" --family poisson --seed 1
  bayesglmm sample herds.csv "sick | trials(size) ~ period + (1 | herd)" --family binomial \\
      --factor period --prior "b=normal(0, 2.5)" --prior "sd=halfstudentt(3, 2.5)" --save herds.nc
  bayesglmm fit sleepstudy "Reaction ~ Days + (Days | Subject)" --method reml
  bayesglmm compare epilepsy "seizures ~ treat + (1 | id)" --family poisson --methods laplace,aghq
  bayesglmm report herds.nc
  bayesglmm predict herds.nc new.csv --new-levels sample
  bayesglmm diagnose herds.nc
  bayesglmm datasets
  bayesglmm verify

exit codes: 0 good, 1 not converged, 2 bad input, 3 interrupted
"""


# Name, what adds its arguments, a line for --help, what its own --help begins and ends with.
COMMANDS = (
    (
        "sample",
        cli_sample.add,
        "sample the posterior and print its summary",
        "Sample the posterior of a model and print its summary, verdict first.",
        EXAMPLES,
    ),
    (
        "fit",
        cli_fit.add_fit,
        "fit by maximum likelihood and print the estimates",
        "Fit a model by maximum likelihood and print the estimates.",
        cli_fit.FIT_EXAMPLES,
    ),
    (
        "compare",
        cli_fit.add_compare,
        "posterior and maximum-likelihood fits in one table",
        "Sample the posterior, fit by maximum likelihood, and print both in one table.",
        cli_fit.COMPARE_EXAMPLES,
    ),
    (
        "report",
        cli_report.add,
        "a page on a saved posterior, for who did not run it",
        "Write the report of a saved posterior: one HTML file that needs nothing else.",
        cli_report.EXAMPLES,
    ),
    (
        "diagnose",
        cli_diagnose.add,
        "the convergence of a saved posterior, or of a table of draws",
        "Judge draws: the verdict in words, and the tables of all diagnostics.",
        cli_diagnose.EXAMPLES,
    ),
    (
        "predict",
        cli_predict.add,
        "predictions of a saved posterior, for its data or new rows",
        "Predict by a saved posterior: means with limits, a row for each row of data.",
        cli_predict.EXAMPLES,
    ),
)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument on one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Completion(argparse.Action):
    """Prints the completion script of a shell, and ends."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Print it."""
        import shtab

        if values not in shtab.SUPPORTED_SHELLS:
            parser.error(f"{option_string} is for {', '.join(shtab.SUPPORTED_SHELLS)}")
        print(shtab.complete(parser, values))
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code: 0 good, 1 not converged, 2 bad input, 3 interrupted.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments = _parser().parse_args(argv)
            code = int(arguments.run(arguments))
            sys.stdout.flush()  # here, where a reader that has gone is met
            return code
        except KeyboardInterrupt:
            return _fail("interrupted before there were any draws", INTERRUPTED)
        except BrokenPipeError:
            # Whoever read has seen enough, as `head` does: no message, nor one of Python's at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return INTERRUPTED
        except (ValueError, OSError) as error:
            return _fail(str(error), BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="bayesglmm",
        description="Bayesian generalized linear mixed models.",
        epilog=EXAMPLES,
        formatter_class=form,
    )
    parser.add_argument("--version", action="version", version=f"bayesglmm {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        metavar="SHELL",
        help="print what makes bash, zsh, tcsh or fish complete commands and options",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name, add, summary, description, examples in COMMANDS:
        command = commands.add_parser(
            name, help=summary, description=description, epilog=examples, formatter_class=form
        )
        add(command)
    datasets = commands.add_parser("datasets", help="list the data sets that are shipped")
    datasets.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    datasets.set_defaults(run=_datasets)
    verify = commands.add_parser(
        "verify",
        help="check this installed copy against published results",
        description="Check this installed copy against closed forms, other libraries, published "
        "fits and a long run of Stan. Takes some seconds; longer the first time.",
    )
    cli_verify.add(verify)
    return parser


def _datasets(arguments: argparse.Namespace) -> int:
    from . import datasets

    described = datasets.describe()
    if arguments.json:
        print(json.dumps(dict(described)))
        return GOOD
    for name, description in described:
        print(f"{name:12}  {description}")
    return GOOD


def _show_warning(
    message: Warning | str, category: type[Warning], *rest: object, **more: object
) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _fail(message: str, code: int) -> int:
    print(f"bayesglmm: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
