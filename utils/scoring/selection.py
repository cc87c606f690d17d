"""Which weights of a run are scored at the end, and the rule that chooses them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from utils.scoring.scores import DomainScore, percent

RULES = ("source", "last", "oracle")
LAST, BEST = "last", "best"


@dataclass
class Best:
    """The best mIoU so far, in [0, 1] or -1 before the first evaluation, and the iteration of its weights."""

    miou: float = -1.0
    iteration: int = 0


class Selection:
    """The rule of ``--selection``, and the weights that it has chosen so far.

    ``source`` chooses the weights with the best mean mIoU over the source domains' val splits, ``last`` those
    of the last step, and ``oracle`` for each unseen domain those that score best on its own val split, as for
    some published tables. That is the data that is scored, so every score says that the oracle was used.

    Weights have the names of their files: ``best``, ``last``, ``best_<domain>``. The attribute ``best``, name
    of weights -> what was chosen so far, is kept in a run's checkpoint.
    """

    def __init__(self, rule: str, sources: Sequence[str], unseen: Iterable[str]) -> None:
        self.rule = rule
        self.sources = sources
        own = [name for name in unseen if name not in sources] if rule == "oracle" else []
        self.of_domain = {name: f"{BEST}_{name}" for name in own}
        self.best = {weights: Best() for weights in (BEST, *self.of_domain.values())}
        self._scores: dict[str, Mapping[str, DomainScore]] = {}

    @property
    def evaluated(self) -> list[str]:
        """The domains that every evaluation has to score."""
        return [*self.sources, *self.of_domain]

    def consider(self, scores: Mapping[str, DomainScore], iteration: int) -> list[str]:
        """Take the ``scores`` of the weights of ``iteration``; returns the names to save them under."""
        self._scores[LAST] = scores
        mious = {BEST: sum(scores[name].miou for name in self.sources) / len(self.sources)}
        mious |= {weights: scores[name].miou for name, weights in self.of_domain.items()}
        # Not "miou >": a mIoU without a labelled class is NaN, and such weights are saved, too.
        better = [weights for weights, miou in mious.items() if not miou <= self.best[weights].miou]
        for weights in better:
            self.best[weights] = Best(mious[weights], iteration)
            self._scores[weights] = scores
        return better

    def resume(self, best: Mapping[str, Mapping[str, float]], saved: Collection[str]) -> None:
        """Take over ``best`` from a checkpoint, for those weights whose names are in ``saved``."""
        known = self.best.keys() & best.keys() & set(saved)
        self.best |= {weights: Best(**best[weights]) for weights in known}

    def weights_of(self, domain: str) -> str:
        """The name of the weights that are scored on ``domain`` at the end."""
        return LAST if self.rule == "last" else self.of_domain.get(domain, BEST)

    def known(self, domain: str) -> DomainScore | None:
        """The score on ``domain`` of the weights for it; None if this process has not evaluated them."""
        return self._scores.get(self.weights_of(domain), {}).get(domain)

    def has_chosen(self, weights: str) -> bool:
        """Whether an evaluation, of this process or an earlier one, has chosen the weights of this name."""
        return weights == LAST or self.best[weights].miou != Best.miou

    def rule_of(self, weights: str) -> str:
        """The rule that chose the weights of this name, in words."""
        for domain, own in self.of_domain.items():
            if own == weights:
                return f"oracle: best on {domain} val"
        return "last iteration" if weights == LAST else "best source val"

    def iteration(self, domain: str, last: int) -> int:
        """The iteration of the weights for ``domain``, in a run whose last one is ``last``."""
        weights = self.weights_of(domain)
        return last if weights == LAST else self.best[weights].iteration

    def line(self, domain: str, score: DomainScore, iteration: int) -> str:
        """The log line for a score in the middle of a run."""
        oracle = ", used by the oracle selection" if domain in self.of_domain else ""
        return f"iteration {iteration}: {domain} val mIoU {percent(score.miou)}{oracle}"
