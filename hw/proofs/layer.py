"""A whole layer, stoic_mvu: two images from the stream to the neurons, for all data.

Weights, thresholds and images are arbitrary; the schedule is not: the images come without gaps,
the second right behind the first, and the sink is always ready. What stalls and gaps may change is
the matter of `handshakes`.
"""

from collections.abc import Iterator

import z3

from .claims import Claim, Disproof, is_set
from .elaborate import Design
from .machine import Machine, Word
from .specification import address_bits, flag, neuron_bits, neuron_planes, widened, words
from .units import PLANES, counting

IMAGES = 2


def layer(design: Design) -> Iterator[Claim]:
    """stoic_mvu equals golden's fire, or accumulate without thresholds, in the cycles it says."""
    p = design.parameters
    n, m, n_pe, simd, group = p["N"], p["M"], p["PE"], p["SIMD"], p["GROUP"]
    planes, theta_bits, out_bits = p["PLANES"], p["THRESHOLD_W"], p["OUT_W"]
    steps, folds, stages = -(-n // simd), -(-m // n_pe), n_pe // group
    width = ((255 if planes == PLANES else 1) * n).bit_length()
    unit = Machine(design)
    x = [[words(f"x{k}_{b}_", steps, simd) for b in range(planes)] for k in range(IMAGES)]
    u = words("u", IMAGES, width)

    # what of the host was on its way up the chain when it was reset still arrives
    unit.idle(stages + 5, rst_i=1, cfg_valid_i=0)
    weights = _weights(unit, design, steps)
    thetas = _thresholds(unit, design) if theta_bits else []
    queue = [(k, i, b) for k in range(IMAGES) for i in range(steps) for b in range(planes)]
    out: list[tuple[int, Word, Word]] = []  # cycle, data, tlast
    loaded = 0  # cycle of the last word of the first image
    words_of_image = -(-m // out_bits) if theta_bits else m
    while len(out) < IMAGES * words_of_image:
        k, i, b = queue[0] if queue else (0, 0, 0)
        last = i == steps - 1 and b == planes - 1
        inputs: dict[str, int | Word] = {"s_axis_tvalid": int(bool(queue)), "s_axis_tlast": last}
        inputs["s_axis_tdata"] = x[k][b][i]
        if planes == PLANES:
            inputs["s_axis_tuser"] = u[k]
        now = unit.step(rst_i=0, cfg_valid_i=0, m_axis_tready=1, **inputs)
        if queue and is_set(now["s_axis_tready"]):
            queue.pop(0)
            loaded = unit.n_steps if last and not k else loaded
        if is_set(now["m_axis_tvalid"]):
            out.append((unit.n_steps, now["m_axis_tdata"], now["m_axis_tlast"]))
        if unit.n_steps > 64 * (steps * planes + stages) * folds + 200:
            raise Disproof("stands still")
    now = unit.step(rst_i=0)
    yield Claim("overflow", now["overflow_o"], z3.BitVecVal(0, 1))

    for k in range(IMAGES):
        values = []
        for neuron in range(m):
            w = weights[neuron]
            if planes == PLANES:
                a = neuron_planes(x[k], w, n, width)
                values.append(widened(a, width + 1) * 2 - widened(u[k], width + 1))
            else:
                values.append(neuron_bits(x[k][0], w, n, width))
        found = out[k * words_of_image : (k + 1) * words_of_image]
        ends = [end for _, _, end in found]
        yield Claim("tlast", z3.Concat(*ends, z3.BitVecVal(0, 1)), z3.BitVecVal(2, len(ends) + 1))
        if not theta_bits:
            for i, value in enumerate(values):
                yield Claim(f"image {k} sum {i}", found[i][1], value)
            continue
        for i, value in enumerate(values):
            word, place = divmod(i, out_bits)
            theta = thetas[i]
            wide = max(value.size(), theta_bits) + 1
            widen = z3.SignExt if planes == PLANES else z3.ZeroExt
            fires = widen(wide - value.size(), value) >= widen(wide - theta_bits, theta)
            bit = z3.Extract(place, place, found[word][1])
            yield Claim(f"image {k} neuron {i}", z3.simplify(bit), flag(fires))
        fill = words_of_image * out_bits - m
        if fill:
            pads = z3.Extract(out_bits - 1, out_bits - fill, found[-1][1])
            yield Claim("fill", z3.simplify(pads), z3.BitVecVal(0, fill))

    fold = max(steps * planes, 2 * stages - 1)
    stretch = fold - steps * planes
    took = out[words_of_image - 1][0] - loaded
    last_stages = -(-(m - (folds - 1) * n_pe) // group)  # of the last fold
    passing = folds * fold - stretch + 2 * last_stages
    latency = passing + counting(simd) + (13 if theta_bits else 9)
    yield Claim("latency", z3.BitVecVal(took, 32), z3.BitVecVal(latency, 32))
    period = out[-1][0] - out[words_of_image - 1][0]
    yield Claim("cycles per image", z3.BitVecVal(period, 32), z3.BitVecVal(folds * fold, 32))


def _weights(unit: Machine, design: Design, steps: int) -> list[list[Word]]:
    """The words of each neuron, where stoic.sim.memory says that they stand."""
    p = design.parameters
    banks = []
    for pe in range(p["PE"]):
        stage, lane = divmod(pe, p["GROUP"])
        name = f"chain.g_stage[{stage}].stage.g_pe[{lane}].pe.ram"
        banks.append(unit.contents(name))
    neurons = [divmod(neuron, p["PE"]) for neuron in range(p["M"])]
    return [[_word(banks[pe], f * steps + i) for i in range(steps)] for f, pe in neurons]


def _thresholds(unit: Machine, design: Design) -> list[Word]:
    """The threshold of each neuron, where stoic_threshold says that it stands."""
    p = design.parameters
    n_pe, group, folds = p["PE"], p["GROUP"], -(-p["M"] // p["PE"])
    name = "drain.g_thresholds.threshold.g_lane[{}].ram"
    tables = [unit.contents(name.format(lane)) for lane in range(group)]
    found = []
    for neuron in range(p["M"]):
        fold, pe = divmod(neuron, n_pe)
        stage = pe // group
        fold_bits = address_bits(folds)
        found.append(_word(tables[pe % group], (stage << fold_bits) | fold))
    return found


def _word(memory: z3.ArrayRef, address: int) -> Word:
    return z3.Select(memory, z3.BitVecVal(address, memory.domain().size()))
