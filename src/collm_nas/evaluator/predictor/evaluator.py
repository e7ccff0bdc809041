"""The accuracy that a predictor expects, instead of one that is measured.

This is how once-for-all networks are searched (Cai et al., 2020, https://arxiv.org/abs/1908.09791).
A number takes a tenth of a millisecond and is no accuracy: docs/predictor.md says what it means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Text
from collm_nas.evaluator.predictor.file import OFA_SPACE, Meaning, read
from collm_nas.spaces.base import SearchSpace, Variable

DIGITS = 6  # of a percentage; later ones depend on the machine's order of summation


@checked
class PredictorEvaluator:
    """Predicts accuracies of the subnets of one supernet.

    Args:
        space: the one that the predictor was trained for, of the same width; it may be narrower.
        file: a predictor, see `collm_nas.evaluator.predictor.file`.
        extrapolate: accept options of `space` that the training data did not have, beside others.
            The only option of a variable, such as the one resolution that is searched, is accepted
            anyway: it is the same for all, so that their order hardly suffers. `cautions` say so.

    Raises:
        ValueError: the file holds no predictor, or none for `space`.
    """

    objective = "predicted_accuracy"

    def __init__(self, space: SearchSpace, file: Text, extrapolate: bool = False) -> None:
        path = Path(file).expanduser()
        self.predictor = read(path)
        self.protocol = f"predicted:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        if problems := list(_misfits(self.predictor.meaning, space, extrapolate)):
            head = f"evaluator.file={file} does not fit the space:"
            raise ValueError("\n  ".join([head, *problems]))
        self.cautions = tuple(_guesses(self.predictor.meaning, space))

    def evaluate(self, arch: Architecture) -> Metrics:
        """Return `{"predicted_accuracy": percent}`; see `Evaluator`."""
        return {self.objective: round(float(self.predictor.predict([arch])[0]), DIGITS)}


def _misfits(meaning: Meaning, space: SearchSpace, extrapolate: bool) -> Iterator[str]:
    if space.identity != meaning.space:
        remedy = ": searchspace.width=1.0" if meaning.space == OFA_SPACE else ""
        yield f"it knows subnets of {meaning.space}, not of {space.identity}{remedy}"
        return
    variables = {v.name: v for v in space.variables}
    for column in meaning.columns:
        own = variables.get(column.name)
        if own is None or own.count != column.count:
            yield f"it expects {column.count} genes of {column.name}"
        else:
            yield from _foreign_options(own, column, meaning, extrapolate)


def _foreign_options(
    own: Variable, column: Variable, meaning: Meaning, extrapolate: bool
) -> Iterator[str]:
    trained = meaning.trained.get(own.name, column.options)
    unknown = [o for o in own.options if o not in column.options]
    untrained = _untrained(own, column, meaning)
    remedy = " Narrow the space, e.g. searchspace.resolutions=[…]" if own.name == "r" else ""
    if unknown:
        yield (
            f"it has no input for {own.name} = {_listed(unknown)}, only for "
            f"{_listed(column.options)}.{remedy}"
        )
    if untrained and len(own.options) > 1 and not extrapolate:
        yield (
            f"it was trained on {own.name} = {_listed(trained)} alone and only guesses for "
            f"{_listed(untrained)}: it does not know how these compare with the others, although "
            f"alone they are ordered well.{remedy}"
            f"{', or accept' if remedy else ' Accept'} guesses: "
            "evaluator.extrapolate=true"
        )


def _guesses(meaning: Meaning, space: SearchSpace) -> Iterator[str]:
    """Say which of the accepted options the predictor was not trained on."""
    own = {v.name: v for v in space.variables}
    for column in meaning.columns:
        if untrained := _untrained(own[column.name], column, meaning):
            among = "the order of candidates is good, the level of their accuracies a guess"
            if len(own[column.name].options) > 1:
                among = "their order among other options is a guess, and their level"
            yield f"the predictor was not trained on {column.name} = {_listed(untrained)}: {among}"


def _untrained(own: Variable, column: Variable, meaning: Meaning) -> list[Value]:
    trained = meaning.trained.get(own.name, column.options)
    return [o for o in own.options if o in column.options and o not in trained]


def _listed(options: Sequence[Value]) -> str:
    return ", ".join(map(str, options))
