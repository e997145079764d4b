"""Verilog of what feeds the layers of a core: bytes of images and maps to the words of a layer.

    dense   bytes -> [thermometer] -> planes or width -> mvu
    conv    bytes -> [thermometer -> width] -> window -> planes or width -> mvu
    behind a convolution    mvu -> pool -> [window] -> width -> mvu

Layer i reads the stream `x<i>`; `y<i>` is what a convolution gives, `s<i>` the sums of scores.
"""

from collections.abc import Mapping

from .core import (
    Core,
    beat_bits,
    in_bits,
    map_bits,
    n_elements,
    out_bits,
    pixel_words,
    thermometer_bits,
)
from .core import value_bits as bits_of_value

Values = dict[str, int | str]


def stream(name: str, width: int, user: int = 0) -> str:
    """Wires of an AXI4-Stream."""
    lines = [f"    wire [{width - 1}:0] {name}_tdata;", f"    wire {name}_tvalid;"]
    lines += [f"    wire {name}_tready;", f"    wire {name}_tlast;"]
    if user:
        lines.append(f"    wire [{user - 1}:0] {name}_tuser;")
    return "\n".join(lines) + "\n"


def out_stream(core: Core, layer: int) -> str:
    """Name of the stream that a layer gives: words for the next one, a map, or sums."""
    if not core.layout.shapes[layer].has_thresholds:
        return f"s{layer}"
    return f"y{layer}" if core.windows[layer] else f"x{layer + 1}"


def first_feed(core: Core, layer: int, member: int) -> str:
    """What makes words of the bytes of images for the first layer of a member."""
    source = f"x{layer}" if core.words else f"b{member}"
    title = f"\n    /* member {member}: beats to words of its first layer */\n"
    parts = [title, stream(source, beat_bits(core))]
    parts.append(f"""\
    assign {source}_tdata = b_tdata;
    assign {source}_tvalid = m_tvalid[{member}];
    assign m_tready[{member}] = {source}_tready;
    assign {source}_tlast = b_tlast;
""")
    if core.words:
        return "".join(parts)
    if core.thermometer:
        n, width = len(core.thermometer), thermometer_bits(core)
        levels = f"{8 * n}'h{bytes(core.thermometer)[::-1].hex()}"
        code: Values = {"K": n, "LEVELS": levels, "OUT_W": width}
        parts.append(_unit("thermometer", f"code{layer}", code, source, f"t{layer}", width))
        source = f"t{layer}"
    if core.windows[layer] and core.layout.shapes[layer].input == "bits":
        width = map_bits(core, layer)
        values = {"IN_W": in_bits(core, layer), "OUT_W": width, "N": n_elements(core, layer)}
        parts.append(_unit("width", f"pixels{layer}", values, source, f"p{layer}", width))
        source = f"p{layer}"
    return "".join([*parts, _to_words(core, layer, source)])


def map_feed(core: Core, layer: int) -> str:
    """What pools the map of a convolution and makes words for the next layer of it."""
    window, pool, shape = core.windows[layer], core.pools[layer], core.layout.shapes[layer]
    if not window:
        return ""
    width = out_bits(core, layer)
    values: Values = {
        "WIDTH": width,
        "WORDS": shape.n_outputs // width,
        "HEIGHT": window.rows,
        "COLUMNS": window.columns,
        "KERNEL": pool.kernel if pool else 1,
        "STRIDE": pool.stride if pool else 1,
        "TARGET": "TARGET",
    }
    source, sink = out_stream(core, layer), f"p{layer + 1}"
    pooled = _unit("pool", f"pool{layer}", values, source, sink, width, is_counted=True)
    return pooled + _to_words(core, layer + 1, sink)


def _to_words(core: Core, layer: int, source: str) -> str:
    """Words for a layer of its map, its row of elements, or bytes."""
    shape, fold, window = core.layout.shapes[layer], core.layout.folds[layer], core.windows[layer]
    parts = []
    if window:
        width = map_bits(core, layer)
        values: Values = {
            "WIDTH": width,
            "WORDS": pixel_words(core, layer),
            "HEIGHT": window.height,
            "COLUMNS": window.width,
            "KERNEL": window.kernel,
            "STRIDE": window.stride,
            "PAD": window.pad,
            "TARGET": "TARGET",
        }
        name = f"window{layer}"
        parts.append(_unit("window", name, values, source, f"w{layer}", width, is_counted=True))
        source = f"w{layer}"
    if shape.input == "uint8":
        user = bits_of_value(shape) - 1
        values = {"SIMD": fold.simd, "SUM_W": user}
        name = f"planes{layer}"
        parts.append(_unit("planes", name, values, source, f"x{layer}", fold.simd, user=user))
    else:
        width = map_bits(core, layer) if window else in_bits(core, layer)
        values = {"IN_W": width, "OUT_W": fold.simd, "N": shape.n_inputs}
        parts.append(_unit("width", f"words{layer}", values, source, f"x{layer}", fold.simd))
    return "".join(parts)


def _unit(
    unit: str,
    name: str,
    values: Mapping[str, int | str],
    source: str,
    sink: str,
    width: int,
    *,
    is_counted: bool = False,
    user: int = 0,
) -> str:
    """An instance between two streams, and the wires of the second.

    Args:
        width: of the second stream.
        is_counted: the unit counts what it takes and has no tlast there.
        user: bits of tuser of the second stream.
    """
    parameters = ",\n".join(f"        .{key}({value})" for key, value in values.items())
    signals = ["tdata", "tvalid", "tready"]
    ports = [f"s_axis_{s}({source}_{s})" for s in (*signals, *([] if is_counted else ["tlast"]))]
    ports += [f"m_axis_{s}({sink}_{s})" for s in (*signals, "tlast", *(["tuser"] if user else []))]
    wired = ",\n".join(f"        .{port}" for port in ("clk_i(clk_i)", "rst_i(rst_i)", *ports))
    return f"""\
{stream(sink, width, user)}
    stoic_{unit} #(
{parameters}
    ) {name} (
{wired}
    );
"""
