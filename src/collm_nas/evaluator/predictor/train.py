"""Train an accuracy predictor on measured subnets.

    python -m collm_nas.evaluator.predictor.train RUN --output predictor.safetensors
    python -m collm_nas.evaluator.predictor.train subnets.csv --output predictor.safetensors \\
        --space mobilenet width=1.0 'resolutions=[128,160,192]'

RUN is a directory of search.py; one with `strategy=random` measures subnets for this purpose, goes
on where it was stopped, and uses any evaluator. A table has one column per variable of the space
(`33335…`, a digit per gene, or values with spaces between them) and one with accuracies.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from collm_nas.config.run import UserError
from collm_nas.config.space import named_space
from collm_nas.core.architecture import Value
from collm_nas.evaluator.predictor.file import Meaning, Network, Predictor, save
from collm_nas.evaluator.predictor.measured import Measured, measured_by_run, measured_in_table
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.encoding import gene_variables, one_hot, option_indices

HIDDEN = 128  # units: one layer of them was as good as more on 2,610 measured OFA subnets
MEMBERS = 3
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)  # L2, to choose from
FEWEST = 20  # subnets


def train(space: SearchSpace, measured: Measured, seed: int, held_out: float = 0.2) -> Predictor:
    """Fit networks to a part of `measured`; the report compares them with the rest.

    The penalty is chosen on a fifth of the training part; the held-out part decides nothing.

    Raises:
        ValueError: there are too few subnets, or all are equally good.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"--held-out must be between 0 and 1, got {held_out}")
    if len(measured.archs) < FEWEST:
        raise ValueError(f"{len(measured.archs)} subnets are too few: at least {FEWEST} are needed")
    if not np.isfinite(measured.accuracies).all() or np.ptp(measured.accuracies) == 0:
        raise ValueError("the accuracies must be finite and differ")
    training, rest = measured.split(held_out, seed)
    fitted, chosen_on = training.split(0.2, seed + 1)
    errors = {
        penalty: _rmse(_fit(space, fitted, penalty, members=1, seed=seed), chosen_on)
        for penalty in PENALTIES
    }
    penalty = min(errors, key=errors.__getitem__)
    predictor = _fit(space, training, penalty, MEMBERS, seed)
    report = {"trained on": len(training.archs), "L2 penalty": penalty, "seed": seed}
    return Predictor(predictor.meaning, predictor.networks, {**report, **quality(predictor, rest)})


def quality(predictor: Predictor, measured: Measured) -> dict[str, float]:
    """Compare predictions with measurements: rank correlations, and the error in points."""
    from scipy.stats import kendalltau, spearmanr

    predicted = predictor.predict(measured.archs)
    return {
        "held out": len(measured.archs),
        "Kendall tau": round(float(kendalltau(predicted, measured.accuracies)[0]), 4),
        "Spearman rho": round(float(spearmanr(predicted, measured.accuracies)[0]), 4),
        "RMSE": round(_rmse(predictor, measured), 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, train, report, store."""
    args = _parser().parse_args(arguments)
    try:
        space, measured = _read(args)
        predictor = train(space, measured, args.seed, args.held_out)
        save(args.output, predictor)
    except (ValueError, OSError, UserError) as error:
        print(error, file=sys.stderr)
        return 2
    print(", ".join(f"{name} {value:g}" for name, value in predictor.report.items()))
    print(f"stored: evaluator=predictor evaluator.file={args.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m collm_nas.evaluator.predictor.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="a run directory, or a table of subnets")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors to write")
    usage = "of a table: an option of searchspace, then key=value settings"
    parser.add_argument("--space", nargs="+", help=usage)
    parser.add_argument("--metric", help="which accuracy; of a table: its column [top1]")
    parser.add_argument("--held-out", type=float, default=0.2, help="share to test with [0.2]")
    parser.add_argument("--seed", type=int, default=0, help="of the split and the networks [0]")
    return parser


def _read(args: argparse.Namespace) -> tuple[SearchSpace, Measured]:
    if args.output.suffix != ".safetensors":
        raise ValueError(f"--output must end in .safetensors, got {args.output}")
    if args.source.is_dir():
        return measured_by_run(args.source, args.metric)
    if not args.space:
        raise ValueError("a table needs its space: --space mobilenet key=value …")
    option, *settings = args.space
    space = named_space(option, settings)
    return space, measured_in_table(args.source, space, args.metric)


def _fit(
    space: SearchSpace, measured: Measured, penalty: float, members: int, seed: int
) -> Predictor:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    inputs = one_hot(space.variables, measured.archs)
    base, percent = float(measured.accuracies.mean()), float(measured.accuracies.std())
    networks: list[Network] = []
    for member in range(members):
        model = MLPRegressor(
            hidden_layer_sizes=(HIDDEN,),
            alpha=penalty,
            early_stopping=True,
            n_iter_no_change=15,
            max_iter=500,
            random_state=seed + member,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(inputs, (measured.accuracies - base) / percent)
        layers = zip(model.coefs_, model.intercepts_, strict=True)
        networks.append(tuple((weights.T, biases) for weights, biases in layers))
    meaning = Meaning(space.identity, space.variables, _trained(space, measured), percent, base)
    return Predictor(meaning, tuple(networks))


def _trained(space: SearchSpace, measured: Measured) -> dict[str, tuple[Value, ...]]:
    """Say which options of each variable occur; that they do not is worth a warning in a search."""
    genes = gene_variables(space.variables)
    seen = {
        (v.name, index)
        for arch in measured.archs
        for v, index in zip(genes, option_indices(space.variables, arch), strict=True)
    }
    return {
        v.name: tuple(o for i, o in enumerate(v.options) if (v.name, i) in seen)
        for v in space.variables
    }


def _rmse(predictor: Predictor, measured: Measured) -> float:
    errors = predictor.predict(measured.archs) - measured.accuracies
    return float(np.sqrt(np.mean(errors**2)))


if __name__ == "__main__":
    sys.exit(main())
