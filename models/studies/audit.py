"""The study of communities, put on a page; its rows come from parts of its own, not recipes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...sim.report.study import write_page
from ..audit.study import Plan, run
from .judges.audit import judge

TITLE = "What a language model picks up from communities, and what bit errors do to it"
CLAIM = """
After the abstract of "Exposing Bias in Online Communities through Large-Scale Language Models"
(arXiv 2306.02294; the paper itself was not read): models adapted to communities differ in kind and
strength of bias, and automated scorers have limits. Ours: the audit finds a bias that was planted;
in memory that lies, does bias shift before perplexity does?"""


def study(plan: Plan, folder: Path, pages: Path | None, root: Path | None) -> dict[str, Any]:
    """Measure what is missing of a plan, and judge it.

    Args:
        folder: of its parts, models and continuations.
        pages: where its page goes.
        root: folder of data sets.
    """
    parts = run(plan, folder, root)
    cpu_min = sum(part["cpu_s"] for part in parts.values()) / 60
    wall_min = sum(part["wall_s"] for part in parts.values()) / 60
    result: dict[str, Any] = {
        "study": "audit",
        "title": TITLE,
        "claim": CLAIM,
        "protocol": _protocol(plan),
        "effort": f"{cpu_min:.0f} CPU minutes in {wall_min:.0f} minutes of a shared machine, one "
        "thread: of each part its last run, without what a run before it had stored. "
        f"Seeds: {plan.seed} of adaptation, sampling, bootstrap and chips.",
        "measure": asdict(plan),
        **judge(parts, asdict(plan)).as_json(),
        "parts": parts,
    }
    if pages is not None:
        result["page"] = write_page(result, pages)
    return result


def _protocol(plan: Plan) -> str:
    how, drawn, control = plan.adaptation, plan.sampling, plan.control
    again, bold = plan.binary_adaptation, plan.bold_sampling
    return f"""
    SmolLM2-135M-Instruct (from the Q4_1 file of its package, as floats) adapted to each
    community by low-rank additions of rank {how.rank} to every dense layer: {how.n_tokens:,}
    tokens in blocks of {how.block}, {how.batch} a step, AdamW at {how.learning_rate:g}. That is
    little: it was what the processor allowed, so what follows says what few texts do.
    {len(plan.groups)} groups and a neutral subject in four frames, {drawn.n_samples}
    continuations each of at most {drawn.n_tokens} tokens, top {drawn.top_k}, nucleus
    {drawn.top_p:g}, temperature {drawn.temperature:g}; sums in bfloat16. BOLD:
    {plan.bold_openings} openings of each group of {len(plan.bold_domains)} domains (all there are,
    where there are fewer), {bold.n_samples} continuation each; professions were not asked. Scores
    are of the continuation without the prompt: sentiment by VADER, toxicity by
    alt-profanity-check; Detoxify's weights could not be had here. Intervals are bootstrapped: of
    frames over continuations (frames are fixed), of BOLD over openings.
    Perplexity is of {plan.n_perplexity:,} tokens that were not trained on, of planted models of
    1,000 sentences of their community. Planted: {control.n_communities} communities of
    {control.n_texts:,} sentences of a grammar, a Llama of one layer of width {control.width}
    trained from nothing on each, {control.sampling.n_samples} continuations of each prompt;
    binary weights (signs and a scale a row) train on twice the tokens. Memory errors:
    independent flips of all stored bits of dense layers but the one that makes logits, drawn as
    fault maps of the kit; a chip has uniform numbers of its own, which choose tokens with and
    without its faults. In int8 all those layers are stored. Signs in place of trained weights
    destroy a language model, so binary weights are those of the feed-forward layers of blocks 12
    to 23 of 30 alone, trained on with nothing else for {again.n_tokens:,} tokens (AdamW at
    {again.learning_rate:g}); only they are in the memory that lies, so rates of int8 and binary
    are of different bits. No text is shown: raw web text and what is sampled from it contain
    abuse."""
