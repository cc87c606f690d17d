"""Which weights of a run are scored at the end, and by what rule they were chosen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from utils.scoring.scores import DomainScore, percent

RULES = ("source", "last", "oracle")
LAST, BEST = "last", "best"


@dataclass
class Best:
    """The best mIoU so far, in [0, 1], and the iteration of its weights; -1 before the first."""

    miou: float = -1.0
    iteration: int = 0


class Selection:
    """The rule ``--selection`` and what it has chosen so far.

    ``source``: the weights with the best mean mIoU over the source domains' val splits. ``last``: those of
    the last step. ``oracle``: for each unseen domain the weights that score best on that domain's own val
    split, as some published tables were made; it looks at what it is scored on, so every score says it.

    Weights are called by the name of their file: ``best``, ``last``, ``best_<domain>``.

    Attributes:
        best: what was chosen so far, by name; a run's checkpoint keeps it.
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
        """Take in the ``scores`` of the weights of ``iteration``; the names they have to be saved under."""
        self._scores[LAST] = scores
        mious = {BEST: sum(scores[name].miou for name in self.sources) / len(self.sources)}
        mious |= {weights: scores[name].miou for name, weights in self.of_domain.items()}
        better = [weights for weights, miou in mious.items() if not miou <= self.best[weights].miou]
        for weights in better:
            self.best[weights] = Best(mious[weights], iteration)
            self._scores[weights] = scores
        return better

    def resume(self, best: Mapping[str, Mapping[str, float]], saved: Collection[str]) -> None:
        """Go on with what a checkpoint says was ``best``, as far as those weights are ``saved``."""
        known = self.best.keys() & best.keys() & set(saved)
        self.best |= {weights: Best(**best[weights]) for weights in known}

    def weights_of(self, domain: str) -> str:
        """The weights that ``domain`` is scored with at the end."""
        return LAST if self.rule == "last" else self.of_domain.get(domain, BEST)

    def known(self, domain: str) -> DomainScore | None:
        """The score of the final weights on ``domain``, if an evaluation of this process has seen it."""
        return self._scores.get(self.weights_of(domain), {}).get(domain)

    def has_chosen(self, weights: str) -> bool:
        """Whether any evaluation, of this process or before, has chosen weights called so."""
        return weights == LAST or self.best[weights].miou != Best.miou

    def rule_of(self, weights: str) -> str:
        """The rule by which the weights called so were chosen, for people."""
        for domain, own in self.of_domain.items():
            if own == weights:
                return f"oracle: best on {domain} val"
        return "last iteration" if weights == LAST else "best source val"

    def iteration(self, domain: str, last: int) -> int:
        """The iteration of the weights for ``domain``, in a run whose last one is ``last``."""
        weights = self.weights_of(domain)
        return last if weights == LAST else self.best[weights].iteration

    def line(self, domain: str, score: DomainScore, iteration: int) -> str:
        """A line of the log for a score in the middle of a run."""
        oracle = ", used by the oracle selection" if domain in self.of_domain else ""
        return f"iteration {iteration}: {domain} val mIoU {percent(score.miou)}{oracle}"
