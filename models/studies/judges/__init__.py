"""One judge a study: from rows of networks to tables, figures and verdicts."""

from ..judgement import Judge
from . import best, bet_metrics, chips, margin, rram_bet

JUDGES: dict[str, Judge] = {
    "best": best.judge,
    "bet-metrics": bet_metrics.judge,
    "chips": chips.judge,
    "margin": margin.judge,
    "rram-bet": rram_bet.judge,
}

__all__ = ["JUDGES"]
