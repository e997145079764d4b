"""What the cocotb benches of the RTL units compared, and the mutants that they caught."""

from .html import Raw, element, table
from .parts import NOTE, count, missing, section
from .results import Results, reading


def benches(results: Results) -> Raw:
    """The section."""
    title = "Every unit of the hardware, on the bench"
    found = results.one("cosim")
    if found is None:
        return section(title, missing("bench result", "make cosim"))
    with reading(found) as values:
        about = (
            f"cocotb on {values['simulator']}, seed {values['seed']}: random gaps and stalls, "
            f"words, answers and scores against golden. {values['mutants_caught']} of "
            f"{values['mutants']} designs with one deliberate mistake were caught."
        )
        rows = [{**bench, "mismatches": count(bench["mismatches"])} for bench in values["benches"]]
    return section(title, element("p", about, class_=NOTE), table("Benches by unit", rows))
